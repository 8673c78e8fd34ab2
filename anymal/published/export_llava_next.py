"""LLaVA-NeXT of a bundle: pictures in tiles, a projection of two layers, a newline behind each row.

The inverse of `anymal.published.llava_next`.
"""

import torch
from torch import nn
from transformers import (
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
)

from anymal.errors import BundleError
from anymal.published.base import Published
from anymal.published.export_llava import PROJECTION, TOWER, fill, processor_of, section, selection
from anymal.published.holder import NEXT_STEP, Allowed, Holder, Whole, one_of

_SIZES = Allowed(told="sizes, or null", holds=lambda grid: True)


def _llava_next(whole: Whole) -> Published:
    """The class."""
    read = selection(whole, whole.encoder.read.tokens)
    if read.before and read.strategy == "full":
        raise BundleError(
            "modalities.image.encoder.drop_cls is false, and the class has no place in its map of "
            f"tiles for the {read.before} features before the patches; {NEXT_STEP}"
        )
    grid = whole.encoder.preprocessor.processor.image_grid_pinpoints
    config = LlavaNextConfig(
        vision_config=section(whole.encoder.model.config),
        text_config=section(whole.llm.config),
        image_token_index=whole.token_id,
        image_seq_length=read.patches,
        projector_hidden_act=whole.options["aligner.activation"],
        vision_feature_select_strategy=read.strategy,
        vision_feature_layer=whole.options["encoder.layer"],
        multimodal_projector_bias=whole.options["aligner.bias"],
        image_grid_pinpoints=[list(size) for size in grid],
    )
    with torch.device("meta"):
        model = LlavaNextForConditionalGeneration(config)
    fill(model, whole, tower=model.model.vision_tower)
    model.model.image_newline = nn.Parameter(whole.aligner.newline.detach())
    return Published(model=model, processor=processor_of(LlavaNextProcessor, whole, read))


LLAVA_NEXT = Holder(
    class_name="LlavaNextForConditionalGeneration",
    modality="image",
    encoder="tiles",
    options=TOWER
    | PROJECTION
    | {
        "encoder.grid": _SIZES,
        "encoder.unpad": one_of("round"),
        "aligner.newline": one_of(True),
    },
    token="<image>",
    build=_llava_next,
)
