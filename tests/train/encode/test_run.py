import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from anymal.errors import DataError, RecipeError
from anymal.features import writer
from anymal.media.limits import Limits
from anymal.recipe.schema import Recipe, load_recipe
from encoders.base import EncoderInputs, Features
from encoders.frozen import FrozenEncoder
from train.encode import media
from train.encode import run as encoding
from train.errors import TrainingError
from train.interrupt import Interrupted

WriteRecipe = Callable[[Path], Path]
Encode = Callable[..., str]
Stored = Callable[[Path], dict[str, torch.Tensor]]


def recipe_of(path: Path, *overrides: str) -> Recipe:
    return load_recipe(path, overrides)


def test_every_medium_is_stored_once(
    tmp_path: Path, write_recipe: WriteRecipe, mixed: list[str], run_encode: Encode, stored: Stored
) -> None:
    recipe = recipe_of(write_recipe(tmp_path / "run"), *mixed)
    root = tmp_path / "features"
    shown = run_encode(recipe, root)
    names = [name.partition("-")[0] for name in stored(root)]
    assert sorted(names) == ["image"] * 3 + ["imu"] * 3  # of four each, one equals another
    lengths = sorted(len(values) for name, values in stored(root).items() if "imu" in name)
    assert lengths[0] < lengths[1] < lengths[2]
    assert "image: 4 media, 3 encoded now, 1 duplicates or already there" in shown
    # A second time there is nothing left to do.
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")}
    assert "image: 4 media, 0 encoded now, 4 duplicates or already there" in run_encode(
        recipe, root
    )
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")} == before


def test_an_encoder_without_weights_is_run_too(
    tmp_path: Path, write_recipe: WriteRecipe, run_encode: Encode, stored: Stored
) -> None:
    encoder = "{kind: pixels, patch: 8, size: [128, 128]}"
    recipe = recipe_of(write_recipe(tmp_path / "run"), f"model.modalities.image.encoder={encoder}")
    run_encode(recipe, tmp_path / "features", stages=["align"])
    assert {values.shape[1] for values in stored(tmp_path / "features").values()} == {8 * 8 * 3}


def test_stages_and_limit_choose_records(
    tmp_path: Path, write_recipe: WriteRecipe, run_encode: Encode, stored: Stored
) -> None:
    data = "[{source: 'anymal.playground.sources:lone_shapes', args: {split: train, size: 5}}]"
    recipe = recipe_of(write_recipe(tmp_path / "run"), f"stages.instruct.data={data}")
    run_encode(recipe, tmp_path / "a", stages=["align"])
    assert len(stored(tmp_path / "a")) == 3  # squares of three colours
    run_encode(recipe, tmp_path / "b", limit=2)
    assert len(stored(tmp_path / "b")) == 4  # two squares, two shapes
    with pytest.raises(RecipeError, match="no stage x; the recipe has align, instruct"):
        run_encode(recipe, tmp_path / "c", stages=["x"])


# --- what goes wrong meanwhile ------------------------------------------------------------------

KILL = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from anymal.recipe.schema import load_recipe
from anymal.features import writer
from train.encode.run import EncodeOptions, encode

writer.SHARD_BYTES = 400
real = os.replace

def replace(temporary, path):
    if path.name == "00002.safetensors":  # whole under its temporary name
        os.kill(os.getpid(), signal.SIGKILL)
    real(temporary, path)

os.replace = replace
encode(load_recipe(Path(sys.argv[1])), EncodeOptions(root=Path(sys.argv[2]), batch_windows=2),
       console=Console(quiet=True))
"""


def test_a_killed_run_goes_on_and_ends_the_same(
    tmp_path: Path,
    write_recipe: WriteRecipe,
    monkeypatch: pytest.MonkeyPatch,
    run_encode: Encode,
    stored: Stored,
) -> None:
    path = write_recipe(tmp_path / "run")
    data = "[{source: 'anymal.playground.sources:lone_shapes', args: {split: train, size: 12}}]"
    text = path.read_text().replace("[{manifest: squares/train.jsonl}]", data)
    path.write_text(text)
    monkeypatch.setattr(writer, "SHARD_BYTES", 400)
    run_encode(recipe_of(path), tmp_path / "whole", batch_windows=2)
    cut = tmp_path / "cut"
    command = [sys.executable, "-c", KILL, str(path), str(cut)]
    killed = subprocess.run(
        command, capture_output=True, cwd=Path(__file__).parents[2], check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    half, *whole_files = sorted(path.name for path in cut.rglob("*") if path.is_file())
    assert half.startswith(".00002.safetensors.")
    assert whole_files == ["00000.safetensors", "00001.safetensors"]
    run_encode(recipe_of(path), cut, batch_windows=2)
    whole, found = stored(tmp_path / "whole"), stored(cut)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert not list(cut.rglob(".*"))


def test_a_signal_keeps_what_was_encoded(
    tmp_path: Path,
    write_recipe: WriteRecipe,
    monkeypatch: pytest.MonkeyPatch,
    run_encode: Encode,
    stored: Stored,
) -> None:
    real = encoding.EncodeProgress.record

    def record(self: Any, num_media: int) -> None:
        real(self, num_media)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(encoding.EncodeProgress, "record", record)
    recipe = recipe_of(write_recipe(tmp_path / "run"))
    with pytest.raises(Interrupted, match="what was encoded is kept") as caught:
        run_encode(recipe, tmp_path / "features", batch_windows=1)
    assert caught.value.exit_code == 143
    assert len(stored(tmp_path / "features")) == 1


def test_a_broken_medium_is_named_and_the_rest_is_kept(
    tmp_path: Path,
    write_recipe: WriteRecipe,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_encode: Encode,
    stored: Stored,
) -> None:
    (workshop / "squares" / "broken.png").write_bytes(b"not a picture")
    text = (workshop / "squares" / "train.jsonl").read_text().replace('"4.png"', '"broken.png"')
    path = workshop / "squares" / "broken.jsonl"
    path.write_text(text)
    monkeypatch.setattr("train.encode.estimate.MEDIA_PER_SOURCE", 1)
    recipe = recipe_of(
        write_recipe(tmp_path / "run"),
        f"stages.align.data=[{{manifest: {path}}}]",
        "stages.align.heldout=null",
    )
    with pytest.raises(DataError, match=r"broken\.jsonl:5: .*broken\.png"):
        run_encode(recipe, tmp_path / "features", stages=["align"], batch_windows=1)
    assert len(stored(tmp_path / "features")) == 3


def test_a_modality_that_the_model_lacks_is_told(
    tmp_path: Path, write_recipe: WriteRecipe, mixed: list[str], run_encode: Encode
) -> None:
    recipe = recipe_of(write_recipe(tmp_path / "run"), mixed[1])
    with pytest.raises(DataError, match=r"mixed\.jsonl:1: .*does not take input_imu.*image_url"):
        run_encode(recipe, tmp_path / "features", stages=["align"])


def test_running_out_of_memory_names_the_option(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch, run_encode: Encode
) -> None:
    def forward(self: FrozenEncoder, inputs: EncoderInputs) -> Features:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(FrozenEncoder, "forward", forward)
    with pytest.raises(TrainingError, match=r"1 windows at once; lower --batch-size"):
        run_encode(recipe_of(write_recipe(tmp_path / "run")), tmp_path / "features")


def test_limits_are_those_of_training(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch, run_encode: Encode
) -> None:
    seen: list[Any] = []
    real = media.read_medium

    def read(part: Any, **arguments: Any) -> Any:
        seen.append(arguments["limits"])
        return real(part, **arguments)

    monkeypatch.setattr(media, "read_medium", read)
    run_encode(recipe_of(write_recipe(tmp_path / "run")), tmp_path / "features", limit=1)
    assert set(seen) == {Limits()}
