"""What a bundle records of the parts of a model, as they are here."""

from typing import cast

from anymal.assemble import Assembled
from anymal.bundle.manifest import LlmFacts, ModalityFacts
from anymal.bundle.tuned import TRAINED
from anymal.chat.tokens import tokenizer_digest
from encoders.base import Encoder


def llm_facts(assembled: Assembled) -> LlmFacts:
    """What a bundle records of the language model, as it is here."""
    llm, recipe = assembled.model.llm, assembled.model_recipe.llm
    return LlmFacts(
        path=recipe.path,
        revision=recipe.revision,
        hidden_size=llm.hidden_size,
        embeddings=llm.embeddings_digest,
        tokenizer=tokenizer_digest(llm.own_tokenizer),
        template=assembled.processor.template.digest,
        trained=getattr(llm.model.config, TRAINED, None),
    )


def modality_facts(assembled: Assembled, name: str) -> ModalityFacts:
    """What a bundle records of one modality, as it is here."""
    recipe = assembled.model_recipe.modalities[name]
    encoder = cast(Encoder, assembled.model.encoders[name])
    aligner = recipe.aligner.model_dump(mode="json", exclude={"vocabulary"})
    if (vocabulary := assembled.processor.modalities[name].vocabulary) is not None:
        aligner["vocabulary"] = tokenizer_digest(vocabulary.tokenizer)
    return ModalityFacts(
        kind=recipe.encoder.kind,
        path=recipe.encoder.path,
        fingerprint=encoder.fingerprint,
        width=encoder.width,
        aligner=aligner,
    )
