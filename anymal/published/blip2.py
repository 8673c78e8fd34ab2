"""BLIP-2 (arXiv 2301.12597) around a decoder, as transformers publishes it.

A ViT with its last norm, a Q-Former, one linear layer. Variants around an encoder and a decoder
(FlanT5) are refused (`anymal.published.refused`).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Blip2ForConditionalGeneration, PreTrainedModel

from anymal.errors import BundleError
from anymal.published.base import (
    ImportedModality,
    Importer,
    PromptFormat,
    Published,
    encoder_recipe,
    linear_weights,
    load_class,
)
from anymal.published.probe import Probe, one_question
from anymal.recipe.schema import AlignerRecipe

_ACTIVATION, _EPS = "gelu", 1e-12  # of a Q-Former


def load_blip(model_class: Any) -> Callable[[Path], Published]:
    """`load_class`, for processors that count the soft tokens of a picture.

    Those of older checkpoints do not say how many; it follows from the model.

    Args:
        model_class: Of transformers, with a `qformer`.
    """

    def load(folder: Path) -> Published:
        published = load_class(model_class)(folder)
        processor, config = published.processor, published.model.config
        if processor.num_query_tokens is None:
            processor.num_query_tokens = config.num_query_tokens
        if config.image_token_index is None:
            raise BundleError(
                f"{str(folder)!r} names no image_token_index, the word that stands for a picture; "
                "download the checkpoint again: newer revisions name it"
            )
        return published

    return load


def blip_llm(published: Published) -> PreTrainedModel:
    """The language model, which the class holds as a whole."""
    llm: Any = published.model.language_model
    llm.generation_config = published.model.generation_config
    causal: PreTrainedModel = llm.eval()
    return causal


def qformer_recipe(published: Published, **options: Any) -> AlignerRecipe:
    """The aligner of a Q-Former.

    Args:
        published: With a `qformer`.
        options: Further ones.

    Raises:
        BundleError: Its settings are not those of a Q-Former.
    """
    whole = published.model.config
    config = whole.qformer_config
    found = (config.hidden_act, config.layer_norm_eps)
    mult, rest = divmod(config.intermediate_size, config.hidden_size)
    if found != (_ACTIVATION, _EPS) or rest:
        raise BundleError(
            f"its Q-Former has hidden_act {found[0]}, layer_norm_eps {found[1]} and "
            f"intermediate_size {config.intermediate_size}; one is read with {_ACTIVATION}, {_EPS} "
            f"and a multiple of hidden_size, {config.hidden_size}"
        )
    return AlignerRecipe(
        kind="qformer",
        num_tokens=whole.num_query_tokens,
        layers=config.num_hidden_layers,
        cross_every=config.cross_attention_frequency,
        width=config.hidden_size,
        num_heads=config.num_attention_heads,
        mult=mult,
        dropout=config.hidden_dropout_prob,
        start="plain",
        **options,
    )


def blip_part(
    published: Published, aligner: AlignerRecipe, *, vocabulary: Any = None
) -> Mapping[str, ImportedModality]:
    """Its pictures.

    Args:
        published: With a `qformer`.
        aligner: From `qformer_recipe`.
        vocabulary: Tokeniser of the words that the Q-Former reads.
    """
    model = published.model
    qformer = {
        f"qformer.{_name(name)}": tensor for name, tensor in model.qformer.state_dict().items()
    }
    image = ImportedModality(
        encoder=encoder_recipe("vision", layer=None, drop_cls=False),
        tower=model.vision_model,
        processor=published.processor.image_processor,
        aligner=aligner,
        weights={
            **qformer,
            "queries": model.query_tokens[0].detach().clone(),
            **linear_weights(project=model.language_projection),
        },
        placeholders=(model.config.image_token_index,),
        vocabulary=vocabulary,
    )
    return {"image": image}


def _name(name: str) -> str:
    """As InstructBLIP's Q-Former calls a weight of BLIP-2's."""
    return f"embeddings.{name}" if name.startswith("layernorm.") else name


def blip2_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    return blip_part(published, qformer_recipe(published))


def blip_prompt(published: Published) -> PromptFormat:
    """As its processor writes: a picture, the begin of text, the question."""
    return PromptFormat(template="instructblip", media_first=True)


def blip_inputs(published: Published, probe: Probe) -> Mapping[str, Tensor]:
    """What the class reads, by its own processor."""
    return dict(
        published.processor(text=list(probe.questions), return_tensors="pt", **probe.arguments())
    )


def blip2_soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each picture."""
    found = published.model.get_image_features(pixel_values=inputs["pixel_values"])
    soft_tokens: Sequence[Tensor] = found.pooler_output
    return soft_tokens


BLIP2 = Importer(
    class_name="Blip2ForConditionalGeneration",
    load=load_blip(Blip2ForConditionalGeneration),
    llm=blip_llm,
    parts=blip2_parts,
    soft_tokens=blip2_soft_tokens,
    prompt=blip_prompt,
    inputs=blip_inputs,
    probe=one_question,
)
