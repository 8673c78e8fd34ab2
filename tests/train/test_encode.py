import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from anymal.errors import DataError, RecipeError
from anymal.recipe import Recipe, load_recipe
from encoders.base import EncoderInputs, Features
from encoders.frozen import FrozenEncoder
from train import encode as encoding
from train import encode_media, feature_writer, stage
from train.data import open_data
from train.encode import EncodeOptions, encode
from train.encode_estimate import estimate
from train.encode_media import distinct_sources
from train.errors import TrainingError
from train.interrupt import Interrupted
from train.metrics import read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]
Shown = Callable[..., str]

IMU = "{encoder: {kind: imu_transformer, path: imu}, aligner: {kind: linear, num_tokens: 32}}"
LENGTHS = (40, 64, 200, 200)  # rows of motion; windows are of 64


@pytest.fixture(scope="module")
def mixed(workshop: Path) -> Path:
    """A manifest of pictures and motions, the last two of them equal, and the encoder for both."""
    from encoders.imu_transformer import ImuTransformerConfig, ImuTransformerModel

    torch.manual_seed(0)
    config = ImuTransformerConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        stem_layers=1,
        window_samples=64,
    )
    ImuTransformerModel(config).save_pretrained(workshop / "imu")
    rows = []
    for number, length in enumerate(LENGTHS):
        samples = [[0.1 * min(number, 2), 0.0, 9.8, 0.0, 0.01 * i, 0.0] for i in range(length)]
        content = [
            {"type": "image_url", "image_url": {"url": f"{number}.png"}},
            {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50}},
            {"type": "text", "text": "What is it?"},
        ]
        messages = [
            {"role": "user", "content": content},
            {"role": "assistant", "content": f"It is {number}."},
        ]
        rows.append(json.dumps({"messages": messages}))
    path = workshop / "squares" / "mixed.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


def recipe_of(path: Path, *overrides: str) -> Recipe:
    return load_recipe(path, overrides)


def mixed_overrides(mixed: Path) -> list[str]:
    """Train the mixture in one short stage, then nothing."""
    data = f"[{{manifest: {mixed}}}]"
    return [
        f"model.modalities.imu={IMU}",
        f"stages.align.data={data}",
        f"stages.align.heldout={data}",
        f"stages.instruct.data={data}",
        "stages.instruct.heldout=null",
        "stages.instruct.steps=2",
    ]


def run_encode(recipe: Recipe, root: Path, **options: Any) -> str:
    """Encode; returns what was shown."""
    shown = io.StringIO()
    texts: list[str] = []

    def confirm(text: str) -> bool:
        texts.append(text)
        return True

    given = EncodeOptions(root=root, **({"confirm": confirm} | options))
    encode(recipe, given, console=Console(file=shown, width=300))
    return "\n".join([*texts, shown.getvalue()])


def train(recipe: Recipe, *, resume: bool = False) -> list[float]:
    """Train; returns the losses of all steps, held-out ones behind."""
    run(recipe, resume=resume, console=Console(file=io.StringIO()))
    steps = read_metrics(Path(recipe.run_dir) / "metrics.jsonl")
    heldout = [step.heldout_loss for step in steps if step.heldout_loss is not None]
    return [step.loss for step in steps] + heldout


def stored(root: Path) -> dict[str, torch.Tensor]:
    """All features of a cache by folder and hash, whatever the files."""
    found = {}
    for path in sorted(root.rglob("*.safetensors")):
        tensors = load_file(path)
        begin = 0
        for key, end in zip(tensors["keys"], tensors["ends"].tolist(), strict=True):
            name = f"{path.parent.name}/{bytes(key.tolist()).hex()}"
            assert name not in found, "stored twice"
            found[name] = tensors["values"][begin:end].clone()
            begin = end
    return found


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders whose features float16 holds exactly."""
    real = FrozenEncoder.forward

    def forward(self: FrozenEncoder, inputs: EncoderInputs) -> Features:
        seen = real(self, inputs)
        # Eighths below 16; also what other sizes of a batch leave of the last bit is gone.
        values = (seen.values * 8).round().clamp(-100, 100) / 8
        return Features(values=values, mask=seen.mask, steps=seen.steps)

    monkeypatch.setattr(FrozenEncoder, "forward", forward)


# --- what is stored -----------------------------------------------------------------------------


def test_every_medium_is_stored_once(
    tmp_path: Path, write_recipe: WriteRecipe, mixed: Path
) -> None:
    recipe = recipe_of(write_recipe(tmp_path / "run"), *mixed_overrides(mixed))
    root = tmp_path / "features"
    shown = run_encode(recipe, root)
    names = [name.partition("-")[0] for name in stored(root)]
    assert sorted(names) == ["image"] * 3 + ["imu"] * 3  # of four each, one equals another
    lengths = sorted(len(values) for name, values in stored(root).items() if "imu" in name)
    assert lengths[0] < lengths[1] < lengths[2]
    assert "image: 4 media, 3 encoded now, 1 duplicates or there already" in shown
    # A second time there is nothing left to do.
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")}
    assert "image: 4 media, 0 encoded now, 4 duplicates or there already" in run_encode(
        recipe, root
    )
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")} == before


def test_generated_media_are_found_by_their_bytes(
    tmp_path: Path, write_recipe: WriteRecipe
) -> None:
    data = "[{source: 'anymal.playground.sources:lone_shapes', args: {split: train, size: 5}}]"
    recipe = recipe_of(
        write_recipe(tmp_path / "run"),
        f"stages.align.data={data}",
        "stages.align.heldout=null",
        "stages.align.steps=3",
        f"features={tmp_path / 'features'}",
        f"stages.instruct.data={data}",
        "stages.instruct.heldout=null",
        "stages.instruct.steps=2",
        "model.llm.max_tokens=256",
    )
    run_encode(recipe, tmp_path / "features")
    assert len(stored(tmp_path / "features")) == 5
    assert len(train(recipe)) == 5


def test_stages_and_limit_choose_records(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    data = "[{source: 'anymal.playground.sources:lone_shapes', args: {split: train, size: 5}}]"
    recipe = recipe_of(write_recipe(tmp_path / "run"), f"stages.instruct.data={data}")
    run_encode(recipe, tmp_path / "a", stages=["align"])
    assert len(stored(tmp_path / "a")) == 3  # squares of three colours
    run_encode(recipe, tmp_path / "b", limit=2)
    assert len(stored(tmp_path / "b")) == 4  # two squares, two shapes
    with pytest.raises(RecipeError, match="no stage x; the recipe has align, instruct"):
        run_encode(recipe, tmp_path / "c", stages=["x"])


# --- training from it ---------------------------------------------------------------------------


@pytest.mark.usefixtures("exact")
def test_training_from_features_is_training_from_media(
    tmp_path: Path, write_recipe: WriteRecipe, mixed: Path
) -> None:
    path, changes = write_recipe(tmp_path / "media"), mixed_overrides(mixed)
    from_media = train(recipe_of(path, *changes))
    root = tmp_path / "features"
    changes += [f"features={root}"]
    run_encode(recipe_of(path, *changes), root)
    from_features = train(recipe_of(path, *changes, f"run_dir={tmp_path / 'features-run'}"))
    assert len(from_media) == 10  # 8 steps and two held-out losses
    assert from_features == pytest.approx(from_media, abs=1e-5)


def test_rounding_features_changes_training_by_little(
    tmp_path: Path, write_recipe: WriteRecipe, mixed: Path
) -> None:
    path, changes = write_recipe(tmp_path / "media"), mixed_overrides(mixed)
    from_media = train(recipe_of(path, *changes))
    root = tmp_path / "features"
    changes += [f"features={root}"]
    run_encode(recipe_of(path, *changes), root)
    from_features = train(recipe_of(path, *changes, f"run_dir={tmp_path / 'features-run'}"))
    assert from_features == pytest.approx(from_media, rel=1e-3)


def test_runs_from_features_repeat_and_resume_bit_by_bit(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, root = write_recipe(tmp_path / "once"), tmp_path / "features"
    run_encode(recipe_of(path), root)
    recipe = recipe_of(path, f"features={root}")
    once = train(recipe)
    assert train(recipe.model_copy(update={"run_dir": str(tmp_path / "again")})) == once
    cut = recipe.model_copy(update={"run_dir": str(tmp_path / "cut")})
    real, taken = stage.optimise, [0]

    def optimise(*args: Any, **kwargs: Any) -> Any:
        taken[0] += 1
        if taken[0] == 6:
            raise ZeroDivisionError
        return real(*args, **kwargs)

    monkeypatch.setattr(stage, "optimise", optimise)
    with pytest.raises(ZeroDivisionError):
        train(cut)
    assert train(cut, resume=True) == once


def test_what_is_not_encoded_names_the_record(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    path, root = write_recipe(tmp_path / "run"), tmp_path / "features"
    run_encode(recipe_of(path), root, limit=1)
    with pytest.raises(
        DataError, match=r"train\.jsonl:\d+: \d+\.png .*not among the 1 image.*anymal data encode"
    ):
        train(recipe_of(path, f"features={root}"))


def test_features_of_other_weights_are_refused(
    tmp_path: Path, write_recipe: WriteRecipe, workshop: Path
) -> None:
    path, root = write_recipe(tmp_path / "run"), tmp_path / "features"
    run_encode(recipe_of(path), root)
    with pytest.raises(DataError, match="another image encoder"):
        train(recipe_of(path, f"features={root}", "model.modalities.image.encoder.layer=-1"))


# --- room ---------------------------------------------------------------------------------------


def test_the_size_is_told_before_anything_is_written(
    tmp_path: Path, write_recipe: WriteRecipe
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
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, write_recipe: WriteRecipe, workshop: Path
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


# --- what goes wrong meanwhile ------------------------------------------------------------------

KILL = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from anymal import feature_shard
from anymal.recipe import load_recipe
from train import feature_writer
from train.encode import EncodeOptions, encode

feature_writer.SHARD_BYTES = 400
real = os.replace

def replace(temporary, path):
    if path.name == "00002.safetensors":  # whole under its temporary name
        os.kill(os.getpid(), signal.SIGKILL)
    real(temporary, path)

feature_shard.os.replace = replace
encode(load_recipe(Path(sys.argv[1])), EncodeOptions(root=Path(sys.argv[2]), batch_windows=2),
       console=Console(quiet=True))
"""


def test_a_killed_run_goes_on_and_ends_the_same(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(tmp_path / "run")
    data = "[{source: 'anymal.playground.sources:lone_shapes', args: {split: train, size: 12}}]"
    text = path.read_text().replace("[{manifest: squares/train.jsonl}]", data)
    path.write_text(text)
    monkeypatch.setattr(feature_writer, "SHARD_BYTES", 400)
    run_encode(recipe_of(path), tmp_path / "whole", batch_windows=2)
    cut = tmp_path / "cut"
    command = [sys.executable, "-c", KILL, str(path), str(cut)]
    killed = subprocess.run(
        command, capture_output=True, cwd=Path(__file__).parents[2], check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    files = sorted(file.name for file in cut.rglob("*.safetensors"))
    assert files == [".writing-00002.safetensors", "00000.safetensors", "00001.safetensors"]
    run_encode(recipe_of(path), cut, batch_windows=2)
    whole, found = stored(tmp_path / "whole"), stored(cut)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert not list(cut.rglob(".writing*"))


def test_a_signal_keeps_what_was_encoded(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, write_recipe: WriteRecipe, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workshop / "squares" / "broken.png").write_bytes(b"not a picture")
    text = (workshop / "squares" / "train.jsonl").read_text().replace('"4.png"', '"broken.png"')
    path = workshop / "squares" / "broken.jsonl"
    path.write_text(text)
    monkeypatch.setattr("train.encode_estimate.MEDIA_PER_SOURCE", 1)
    recipe = recipe_of(
        write_recipe(tmp_path / "run"),
        f"stages.align.data=[{{manifest: {path}}}]",
        "stages.align.heldout=null",
    )
    with pytest.raises(DataError, match=r"broken\.jsonl:5: .*broken\.png"):
        run_encode(recipe, tmp_path / "features", stages=["align"], batch_windows=1)
    assert len(stored(tmp_path / "features")) == 3


def test_a_modality_that_the_model_lacks_is_told(
    tmp_path: Path, write_recipe: WriteRecipe, mixed: Path
) -> None:
    recipe = recipe_of(write_recipe(tmp_path / "run"), f"stages.align.data=[{{manifest: {mixed}}}]")
    with pytest.raises(DataError, match=r"mixed\.jsonl:1: .*does not take input_imu.*image_url"):
        run_encode(recipe, tmp_path / "features", stages=["align"])


def test_running_out_of_memory_names_the_option(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: FrozenEncoder, inputs: EncoderInputs) -> Features:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(FrozenEncoder, "forward", forward)
    with pytest.raises(TrainingError, match=r"1 windows at once; lower --batch-size"):
        run_encode(recipe_of(write_recipe(tmp_path / "run")), tmp_path / "features")


def test_limits_are_those_of_training(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = encode_media.read_medium

    def read(part: Any, **arguments: Any) -> Any:
        seen.append(arguments["limits"])
        return real(part, **arguments)

    monkeypatch.setattr(encode_media, "read_medium", read)
    run_encode(recipe_of(write_recipe(tmp_path / "run")), tmp_path / "features", limit=1)
    from anymal.media.limits import Limits

    assert set(seen) == {Limits()}
