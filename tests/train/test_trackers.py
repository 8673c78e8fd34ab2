"""Trackers, with one of accelerate's kind that keeps what it is told in a list."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker

from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe
from anymal.recipe.section import parse_section
from train import trackers
from train.metrics import StepMetrics
from train.run_folder import RunFolder
from train.trackers import Kind, Trackers, check_trackers

TOLD: list[tuple[str, Any]] = []
ANSWERS = [{"question": "What?", "expected": "red", "answer": "It is blue.", "right": False}]
STEP = StepMetrics(
    **{"stage": "a", "step": 2, "loss": 1.5, "lr": 0.1, "tokens": 8, "targets": 3},
    **{"tokens_per_s": 9.0, "grad_norm": 0.5, "memory": 7, "accuracy": 0.25, "answers": ANSWERS},
)
NUMBERS = {
    **{"loss": 1.5, "lr": 0.1, "grad_norm": 0.5, "tokens_per_s": 9.0, "memory": 7},
    "accuracy": 0.25,
}


class ListTracker(GeneralTracker):
    name = "list"
    requires_logging_directory = False

    def __init__(self, **options: Any) -> None:
        super().__init__()
        TOLD.append(("made", options))

    @property
    def tracker(self) -> Any:
        return self

    def start(self) -> None:
        TOLD.append(("started", None))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        TOLD.append(("recipe", values))

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        TOLD.append((f"step {step}", values))

    def finish(self) -> None:
        TOLD.append(("finished", None))


@pytest.fixture(name="told")
def _told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    kind = Kind(
        tracker=f"{__name__}:ListTracker",
        options=lambda start: {"id": start.id, "from": start.step, "name": start.name},
        id_of=lambda tracker: "id-of-tracker",
        takes_text=True,
    )
    dumb = replace(kind, id_of=None, takes_text=False)
    monkeypatch.setattr(trackers, "KINDS", {"wandb": kind, "mlflow": dumb})
    TOLD.clear()
    return TOLD


def recipe(tmp_path: Path, *names: str) -> Recipe:
    stage = {"name": "a", "kind": "align", "data": [{"manifest": "a.jsonl"}], "steps": 9}
    modalities = {"image": {"encoder": {"kind": "vision", "path": "there"}}}
    values = {
        "run_dir": str(tmp_path / "run"),
        "model": {"llm": {"path": "there"}, "modalities": modalities},
        "stages": [stage | {"batch_size": 1, "lr": 0.5}],
        "report": names,
    }
    return parse_section(Recipe, values, where="test")


def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.claim(resume=True)
    return made


def test_a_resumed_run_goes_on_where_the_tracker_has_it(
    told: list[tuple[str, Any]], tmp_path: Path
) -> None:
    settings = recipe(tmp_path, "wandb")
    with Trackers(settings, folder(tmp_path), step=1) as own:
        own.write(STEP, total_step=2)
    given = dict(told)
    assert given["made"] == {"id": None, "from": 1, "name": "run"}
    assert given["recipe"]["stages.0.lr"] == 0.5
    assert given["step 2"] == {**NUMBERS, "answers": "- What? **It is blue.** (red)"}
    assert [what for what, _ in told] == ["made", "started", "recipe", "step 2", "finished"]
    assert json.loads((tmp_path / "run" / "trackers.json").read_text()) == {
        "wandb": "id-of-tracker"
    }
    told.clear()
    with Trackers(settings, folder(tmp_path), step=5) as own:
        own.write(STEP, total_step=5)
    assert told[0] == ("made", {"id": "id-of-tracker", "from": 5, "name": "run"})
    assert [what for what, _ in told[1:]] == ["started", "step 5", "finished"]


def test_text_goes_where_it_can_be_shown(told: list[tuple[str, Any]], tmp_path: Path) -> None:
    with Trackers(recipe(tmp_path, "mlflow"), folder(tmp_path), step=1) as own:
        own.write(STEP, total_step=2)
    assert dict(told)["step 2"] == NUMBERS


def test_a_tracker_ends_with_a_run_that_fails(told: list[tuple[str, Any]], tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError),
        Trackers(recipe(tmp_path, "mlflow", "wandb"), folder(tmp_path), step=1),
    ):
        raise KeyError
    assert [what for what, _ in told].count("finished") == 2


def test_without_trackers_nothing_is_written(tmp_path: Path) -> None:
    with Trackers(recipe(tmp_path), folder(tmp_path), step=1) as own:
        own.write(STEP, total_step=1)
    assert not (tmp_path / "run" / "trackers.json").exists()


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else object())
    check_trackers(["mlflow"])
    with pytest.raises(RecipeError, match=r"report: wandb .*pip install wandb"):
        check_trackers(["mlflow", "wandb"])


def test_an_unknown_tracker_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'tensorboard', 'trackio' or 'wandb'"):
        recipe(tmp_path, "notebook")


def test_tensorboard_reads_back_what_a_run_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")  # not among the packages that the tests need
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = recipe(tmp_path, "tensorboard")
    for first in (1, 3):  # the second process resumes after step 2, and hides an older step 3
        with Trackers(settings, folder(tmp_path), step=first) as own:
            for step in range(first, first + 3):
                own.write(replace(STEP, loss=first + step / 10), total_step=step)
    read = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    losses = [(event.step, round(event.value, 5)) for event in read.Scalars("loss")]
    assert losses == [(1, 1.1), (2, 1.2), (3, 3.3), (4, 3.4), (5, 3.5)]
    (text,) = {event.tensor_proto.string_val[0] for event in read.Tensors("answers/text_summary")}
    assert text == b"- What? **It is blue.** (red)"
