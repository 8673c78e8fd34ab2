import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from anymal.errors import DataError
from anymal.recipe.schema import Recipe, load_recipe
from encoders.base import EncoderInputs, Features
from encoders.frozen import FrozenEncoder
from train import stage
from train.metrics import read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]
Encode = Callable[..., str]
Stored = Callable[[Path], dict[str, torch.Tensor]]


def recipe_of(path: Path, *overrides: str) -> Recipe:
    return load_recipe(path, overrides)


def train(recipe: Recipe, *, resume: bool = False) -> list[float]:
    """Train; returns the losses of all steps, held-out ones behind."""
    run(recipe, resume=resume, console=Console(file=io.StringIO()))
    steps = read_metrics(Path(recipe.run_dir) / "metrics.jsonl")
    heldout = [step.heldout_loss for step in steps if step.heldout_loss is not None]
    return [step.loss for step in steps] + heldout


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


@pytest.fixture(scope="module")
def short(mixed: list[str]) -> list[str]:
    """Overrides that train on pictures and motions for three steps and one."""
    steps = ("stages.align.steps=3", "stages.align.warmup_steps=1", "stages.instruct.steps=1")
    return [*mixed, *steps, "stages.instruct.warmup_steps=0"]


@pytest.fixture(scope="module")
def from_media(
    short: list[str], write_recipe: WriteRecipe, tmp_path_factory: pytest.TempPathFactory
) -> list[float]:
    """The losses of a run of `short` that reads media."""
    run_dir = tmp_path_factory.mktemp("media") / "run"
    return train(recipe_of(write_recipe(run_dir), *short))


@pytest.mark.usefixtures("exact")
def test_training_from_features_is_training_from_media(
    tmp_path: Path, write_recipe: WriteRecipe, short: list[str], run_encode: Encode
) -> None:
    path, root = write_recipe(tmp_path / "media"), tmp_path / "features"
    from_media = train(recipe_of(path, *short))
    run_encode(recipe_of(path, *short), root)
    from_features = train(
        recipe_of(path, *short, f"features={root}", f"run_dir={tmp_path / 'features-run'}")
    )
    assert len(from_media) == 5  # 4 steps and a held-out loss
    assert from_features == pytest.approx(from_media, abs=1e-5)


def test_rounding_features_changes_training_by_little(
    tmp_path: Path,
    write_recipe: WriteRecipe,
    short: list[str],
    from_media: list[float],
    run_encode: Encode,
) -> None:
    recipe = recipe_of(write_recipe(tmp_path / "run"), *short, f"features={tmp_path / 'features'}")
    run_encode(recipe, tmp_path / "features")
    assert train(recipe) == pytest.approx(from_media, rel=1e-3)


def test_runs_from_features_repeat_and_resume_bit_by_bit(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch, run_encode: Encode
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


def test_what_is_not_encoded_names_the_record(
    tmp_path: Path, write_recipe: WriteRecipe, run_encode: Encode
) -> None:
    path, root = write_recipe(tmp_path / "run"), tmp_path / "features"
    run_encode(recipe_of(path), root, limit=1)
    with pytest.raises(
        DataError, match=r"train\.jsonl:\d+: \d+\.png .*not among the 1 image.*anymal data encode"
    ):
        train(recipe_of(path, f"features={root}"))


def test_features_of_other_weights_are_refused(
    tmp_path: Path, write_recipe: WriteRecipe, workshop: Path, run_encode: Encode
) -> None:
    path, root = write_recipe(tmp_path / "run"), tmp_path / "features"
    run_encode(recipe_of(path), root)
    with pytest.raises(DataError, match="another image encoder"):
        train(recipe_of(path, f"features={root}", "model.modalities.image.encoder.layer=-1"))


def test_generated_media_are_found_by_their_bytes(
    tmp_path: Path, write_recipe: WriteRecipe, run_encode: Encode, stored: Stored
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


def test_a_run_from_features_asks_about_media(
    tmp_path: Path, write_recipe: WriteRecipe, run_encode: Encode
) -> None:
    path, root = write_recipe(tmp_path / "run"), tmp_path / "features"
    short = [
        f"stages.{name}.{key}"
        for name in ("align", "instruct")
        for key in ("steps=1", "warmup_steps=0")
    ]
    run_encode(recipe_of(path), root)
    train(recipe_of(path, *short, f"features={root}", "stages.align.ask_every=1"))
    (first, _) = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert first.accuracy is not None
