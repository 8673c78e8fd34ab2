"""InternVL (arXiv 2312.14238, 2504.10479), as transformers publishes it: pictures in tiles.

Its own tower, squares of patches joined in one, a projection of two layers. The tiles of a picture
follow each other, the whole picture last, without a word between them. Does not read films.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, InternVLForConditionalGeneration

from anymal.errors import BundleError
from anymal.published.base import (
    ImportedModality,
    Importer,
    Published,
    encoder_recipe,
    linear_weights,
    load_whole,
)
from anymal.published.llava import llava_llm
from anymal.published.probe import Probe
from anymal.published.prompt_ids import filled_ids
from anymal.published.rendering import rendered
from anymal.recipe.schema import AlignerRecipe
from encoders.images import load_image_processor, side_of
from encoders.picture_limits import most_windows

_LAST = -1  # the class reads its tower's output then, not a hidden state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Processor:
    """A processor without the part for films, which is not to be had without torchvision.

    Attributes:
        image_processor: Cuts pictures into tiles.
        tokenizer: With the names of the words around a picture.
        chat_template: The tokeniser's is taken.
    """

    image_processor: Any
    tokenizer: Any
    chat_template: None = None


def _load(folder: Path) -> Published:
    """The model, and its processor without the part for films."""
    tokenizers: Any = AutoTokenizer
    tokenizer = tokenizers.from_pretrained(folder, trust_remote_code=False)
    image_processor = load_image_processor(str(folder))
    image_processor.crop_to_patches = True  # the class's processor asks for it
    model = load_whole(InternVLForConditionalGeneration, folder)
    _check_tiles(image_processor, side_of(model.config.vision_config.image_size))
    return Published(
        model=model, processor=_Processor(image_processor=image_processor, tokenizer=tokenizer)
    )


def _check_tiles(image_processor: Any, side: int | None) -> None:
    """Refuse tiles that the model does not take, before any is cut: files may ask for any size."""
    most_windows(image_processor)  # refuses too many
    size = dict(image_processor.size)
    if side is None or side_of([size.get("height"), size.get("width")]) != side:
        raise BundleError(
            f"the image processor cuts tiles of {size}, and the model takes squares of {side} "
            "pixels; import a checkpoint whose files agree"
        )


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config = published.model.model, published.model.config
    projector, tokenizer = model.multi_modal_projector, published.processor.tokenizer
    if config.vision_feature_select_strategy != "default":
        raise BundleError(
            f"vision_feature_select_strategy is {config.vision_feature_select_strategy!r}; squares "
            "are made of patches alone ('default')"
        )
    side = _side(config)
    layer = config.vision_feature_layer
    aligner = AlignerRecipe(
        kind="projection",
        num_tokens=None,
        depth=2,
        activation=config.projector_hidden_act,
        norm="layer",
        merge=side**2,
        start="plain",
    )
    image = ImportedModality(
        encoder=encoder_recipe(
            "vision",
            layer=None if layer == _LAST else layer,
            order="blocks",
            block_size=side,
        ),
        tower=model.vision_tower,
        processor=published.processor.image_processor,
        aligner=aligner,
        weights=linear_weights(
            norm=projector.layer_norm,
            project__0=projector.linear_1,
            project__2=projector.linear_2,
        ),
        prefix=tokenizer.start_image_token,
        suffix=tokenizer.end_image_token,
        placeholders=(config.image_token_id,),
    )
    return {"image": image}


def _side(config: Any) -> int:
    """Side of the squares of patches that become one soft token."""
    return int(1 / config.downsample_ratio)


def _inputs(published: Published, probe: Probe) -> Mapping[str, Tensor]:
    """What the class reads: tiles of all pictures, and as many placeholders as they give."""
    parts, vision = published.processor, published.model.config.vision_config
    tiles = [
        parts.image_processor(images=picture, return_tensors="pt").pixel_values
        for picture in probe.arguments()["images"]
    ]
    height, width = (
        size // patch for size, patch in zip(vision.image_size, vision.patch_size, strict=True)
    )
    per_tile = height * width // _side(published.model.config) ** 2
    names = parts.tokenizer
    medium = names.context_image_token
    around = names.start_image_token + medium + names.end_image_token
    ids = filled_ids(
        names,
        rendered(parts, probe, generate=True).replace(medium, around),
        medium=medium,
        placeholder=published.model.config.image_token_id,
        counts=[per_tile * len(picture) for picture in tiles],
    )
    return {**ids, "pixel_values": torch.cat(tiles)}


def _soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each tile."""
    found = published.model.get_image_features(pixel_values=inputs["pixel_values"])
    soft_tokens: Sequence[Tensor] = found.pooler_output
    return soft_tokens


INTERNVL = Importer(
    class_name="InternVLForConditionalGeneration",
    load=_load,
    llm=llava_llm,
    parts=_parts,
    inputs=_inputs,
    soft_tokens=_soft_tokens,
)
