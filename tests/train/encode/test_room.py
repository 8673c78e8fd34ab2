import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from anymal.errors import DataError
from anymal.recipe.schema import Recipe, load_recipe
from train.data.sources import open_data
from train.encode import run as encoding
from train.encode.estimate import estimate
from train.encode.media import distinct_sources
from train.encode.run import EncodeOptions, encode

WriteRecipe = Callable[[Path], Path]
Encode = Callable[..., str]
Stored = Callable[[Path], dict[str, torch.Tensor]]


def recipe_of(path: Path, *overrides: str) -> Recipe:
    return load_recipe(path, overrides)


def test_the_size_is_told_before_anything_is_written(
    tmp_path: Path, write_recipe: WriteRecipe, stored: Stored
) -> None:
    told: list[str] = []

    def decline(text: str) -> bool:
        told.append(text)
        return False

    root = tmp_path / "features"
    recipe = recipe_of(write_recipe(tmp_path / "run"))
    options = EncodeOptions(root=root, confirm=decline)
    assert not encode(recipe, options, console=Console(file=io.StringIO()))
    assert stored(root) == {}
    # Twelve files, each four features of 16 halves with mask and step, a key and an end.
    assert f"image {12 * (4 * (32 + 1 + 8) + 40) / 1e3:.1f} kB for 12 media" in told[0]


def test_what_does_not_fit_is_refused(
    tmp_path: Path,
    write_recipe: WriteRecipe,
    monkeypatch: pytest.MonkeyPatch,
    run_encode: Encode,
    stored: Stored,
) -> None:
    endless = "[{source: 'anymal.playground.sources:scenes', args: {split: train, size: 1" + (
        "0" * 12 + "}}]"
    )
    recipe = recipe_of(
        write_recipe(tmp_path / "run"), f"stages.align.data={endless}", "stages.align.heldout=null"
    )
    monkeypatch.setattr(encoding.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**10))
    with pytest.raises(DataError, match=r"about \d+\.\d TB .*10\.0 GB are free.*--limit N"):
        run_encode(recipe, tmp_path / "features", stages=["align"])
    assert stored(tmp_path / "features") == {}


def test_an_estimate_counts_files_once_and_scales_sources(
    tmp_path: Path, write_recipe: WriteRecipe
) -> None:
    data = "[{source: 'anymal.playground.sources:lone_shapes', args: {split: train, size: 640}}]"
    recipe = recipe_of(write_recipe(tmp_path / "run"), f"stages.instruct.data={data}")
    asked: list[int] = []

    def measure(places: Any) -> list[int]:
        asked.append(len(places))
        return [10] * len(places)

    sources = distinct_sources(open_data(recipe))
    [found] = estimate(sources, limit=None, modality_of=lambda place: "image", measure=measure)
    assert len(sources) == 2  # the manifest is named by four entries
    assert found.num_media == 12 + 640
    assert found.num_bytes == 10 * found.num_media
    assert asked == [8, 8]
    [found] = estimate(sources, limit=3, modality_of=lambda place: "image", measure=measure)
    assert found.num_media == 6


def test_records_without_media_leave_nothing_to_do(
    tmp_path: Path, write_recipe: WriteRecipe, workshop: Path, run_encode: Encode
) -> None:
    path = workshop / "squares" / "words.jsonl"
    words = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    path.write_text(json.dumps({"messages": words}) + "\n")
    recipe = recipe_of(
        write_recipe(tmp_path / "run"),
        f"stages.align.data=[{{manifest: {path}}}]",
        "stages.align.heldout=null",
    )
    with pytest.raises(DataError, match="hold no media"):
        run_encode(recipe, tmp_path / "features", stages=["align"])
