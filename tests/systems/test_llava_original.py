"""The original layout of LLaVA: the same as `LlavaForConditionalGeneration` of its weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.systems.agreement import check_served, imported
from tests.systems.original import save_original


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"projector": "linear", "pickles": True, "legacy": True},
        {"shards": 3, "pickles": True, "dtype": torch.bfloat16},
        {"shards": 3, "trains_tower": True, "image_aspect_ratio": "pad"},
    ],
)
def test_it_agrees_with_the_class(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save_original(tmp_path / "llava", **options)
    imported(folder, tmp_path / "bundle")


def test_it_is_served_as_its_class_generates(tmp_path: Path) -> None:
    folder = save_original(tmp_path / "llava", image_aspect_ratio="pad")
    imported(folder, tmp_path / "bundle")
    check_served(folder, tmp_path / "bundle")
