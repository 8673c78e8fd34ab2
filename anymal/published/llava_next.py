"""LLaVA-NeXT, or LLaVA-1.6, as transformers publishes it: LLaVA that sees pictures in tiles.

Each row of a picture ends with a learnt soft token, which is part of the aligner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from transformers import LlavaNextForConditionalGeneration

from anymal.published.base import ImportedModality, Importer, Published, encoder_recipe, load_class
from anymal.published.llava import llava_llm, llava_parts


def llava_next_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    image = llava_parts(published)["image"]
    grid = [list(size) for size in published.model.config.image_grid_pinpoints]
    tiles = encoder_recipe("tiles", grid=grid, unpad="round", **image.encoder.options)
    aligner = image.aligner.model_copy(update={"newline": True})
    weights = {**image.weights, "newline": published.model.model.image_newline}
    return {"image": replace(image, encoder=tiles, aligner=aligner, weights=weights)}


def llava_next_soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each picture."""
    found = published.model.get_image_features(
        pixel_values=inputs["pixel_values"], image_sizes=inputs["image_sizes"]
    )
    soft_tokens: Sequence[Tensor] = found.pooler_output
    return soft_tokens


LLAVA_NEXT = Importer(
    class_name="LlavaNextForConditionalGeneration",
    load=load_class(LlavaNextForConditionalGeneration),
    llm=llava_llm,
    parts=llava_next_parts,
    soft_tokens=llava_next_soft_tokens,
)
