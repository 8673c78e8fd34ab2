"""Tiny random checkpoints whose pictures are cut into tiles or patches; part of `CHECKPOINTS`."""

from collections.abc import Callable
from typing import Any

from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    FuyuImageProcessorPil,
    LlavaNextImageProcessorPil,
)

from tests.tiny import BLOCKS

SIDE = 32
GRID = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]

# name -> the model and its processor
CUT_PICTURES: dict[str, Callable[[], tuple[Any, ...]]] = {
    "clip_tiles": lambda: (
        CLIPVisionModel(
            CLIPVisionConfig(**BLOCKS | {"num_hidden_layers": 3}, image_size=SIDE, patch_size=8)
        ),
        LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE},
            crop_size={"height": SIDE, "width": SIDE},
            image_grid_pinpoints=GRID,
        ),
    ),
    "fuyu": lambda: (
        FuyuImageProcessorPil(
            patch_size={"height": 8, "width": 8}, size={"height": 48, "width": 64}
        ),
    ),
}
