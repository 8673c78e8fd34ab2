"""LLaVA-NeXT, or LLaVA-1.6, as transformers publishes it: LLaVA that sees pictures in tiles.

Each row of a picture ends with a learnt soft token, which is part of the aligner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from transformers import LlavaNextForConditionalGeneration

from anymal.errors import BundleError
from anymal.published.base import ImportedModality, Importer, Published, encoder_recipe
from anymal.published.llava import llava_llm, llava_parts, load_llava
from encoders.tile_processor import check_grid


def llava_next_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    image, grid = llava_parts(published)["image"], _grid(published)
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


def _grid(published: Published) -> list[list[int]]:
    """The sizes that pictures are brought to, before any is: files may ask for any size."""
    config, images = published.model.config, published.processor.image_processor
    grid = [list(size) for size in config.image_grid_pinpoints]
    side = config.vision_config.image_size
    cuts = {value for size in (images.size, images.crop_size) if size for _, value in size}
    if images.image_grid_pinpoints != grid or cuts != {side}:
        raise BundleError(
            f"the model joins tiles of {side} pixels to pictures of {grid}, and its image "
            f"processor cuts tiles of {sorted(cuts)} from {images.image_grid_pinpoints}; give both "
            "the same"
        )
    check_grid(grid, side, "image_grid_pinpoints")
    return grid


LLAVA_NEXT = Importer(
    class_name="LlavaNextForConditionalGeneration",
    load=load_llava(LlavaNextForConditionalGeneration),
    llm=llava_llm,
    parts=llava_next_parts,
    soft_tokens=llava_next_soft_tokens,
)
