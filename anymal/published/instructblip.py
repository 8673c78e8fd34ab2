"""InstructBLIP (arXiv 2305.06500) around a decoder, as transformers publishes it.

BLIP-2 whose Q-Former also reads the question, by a tokeniser of its own. Variants around an encoder
and a decoder (FlanT5) are refused (`anymal.published.refused`).
"""

from collections.abc import Mapping, Sequence

from torch import Tensor
from transformers import InstructBlipForConditionalGeneration

from anymal.published.base import ImportedModality, Importer, Published
from anymal.published.blip2 import (
    blip_inputs,
    blip_llm,
    blip_part,
    blip_prompt,
    load_blip,
    qformer_recipe,
)
from anymal.published.probe import one_question


def instructblip_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    config, tokenizer = published.model.config.qformer_config, published.processor.qformer_tokenizer
    reads = {
        "vocab_size": config.vocab_size,
        "max_words": config.max_position_embeddings,
        "vocabulary": "bundle:",  # which the import is about to write
    }
    return blip_part(published, qformer_recipe(published, **reads), vocabulary=tokenizer)


def instructblip_soft_tokens(
    published: Published, inputs: Mapping[str, Tensor]
) -> Sequence[Tensor]:
    """The class's own, of each picture beside its question."""
    names = ("pixel_values", "qformer_input_ids", "qformer_attention_mask")
    found = published.model.get_image_features(**{name: inputs[name] for name in names})
    soft_tokens: Sequence[Tensor] = found.pooler_output
    return soft_tokens


INSTRUCTBLIP = Importer(
    class_name="InstructBlipForConditionalGeneration",
    load=load_blip(InstructBlipForConditionalGeneration),
    llm=blip_llm,
    parts=instructblip_parts,
    soft_tokens=instructblip_soft_tokens,
    prompt=blip_prompt,
    inputs=blip_inputs,
    probe=one_question,
    notes=(
        "the Q-Former reads the words of the message that carries the picture, and no later one",
    ),
)
