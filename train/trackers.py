"""What a run tells experiment trackers: its recipe, and what was measured after each step.

Does not measure. A run needs no tracker: `metrics.jsonl` holds the same. The trackers are those of
`accelerate.tracking`, each started by itself.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anymal.durable import write_file
from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe, TrackerName
from train.metrics import StepMetrics
from train.run_folder import RunFolder, leaves

PROJECT = "anymal"  # in trackers that order runs by project
_NUMBERS = (
    "loss",
    "lr",
    "lora_lr",
    "grad_norm",
    "tokens_per_s",
    "memory",
    "heldout_loss",
    "accuracy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a tracker is started with.

    Attributes:
        name: Of the run.
        folder: Of the run.
        id: By which the tracker finds the run that is resumed; None for a new one.
        step: The first that will be logged, counted over all stages.
    """

    name: str
    folder: Path
    id: str | None
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A tracker; its name is also that of the package that it needs.

    Attributes:
        tracker: Its class, as `module:name`.
        options: The arguments of the class.
        id_of: By what a started tracker finds its run again; None if the folder is enough.
        takes_text: Whether it can show sample answers.
    """

    tracker: str
    options: Callable[[Start], dict[str, Any]]
    id_of: Callable[[Any], str] | None = None
    takes_text: bool = False


KINDS: dict[TrackerName, Kind] = {
    "dvclive": Kind(
        tracker="accelerate.tracking:DVCLiveTracker",
        options=lambda start: {
            "dir": str(start.folder / "dvclive"),
            "resume": start.step > 1,
            "save_dvc_exp": False,  # which would want a Git repository around the run
            "report": None,
        },
    ),
    "mlflow": Kind(
        tracker="accelerate.tracking:MLflowTracker",
        options=lambda start: {
            "experiment_name": PROJECT,
            "run_name": start.name,
            "run_id": start.id,
        },
        id_of=lambda tracker: tracker.tracker.info.run_id,
    ),
    "swanlab": Kind(
        tracker="accelerate.tracking:SwanLabTracker",
        options=lambda start: {
            "run_name": PROJECT,
            "name": start.name,
            "log_dir": str(start.folder / "swanlog"),
            "id": start.id,
            "resume": "never" if start.id is None else "allow",
        },
        id_of=lambda tracker: tracker.tracker.id,
    ),
    "tensorboard": Kind(
        tracker="accelerate.tracking:TensorBoardTracker",
        options=lambda start: {
            "run_name": "tensorboard",  # a folder in that of the run
            "logging_dir": str(start.folder),
            "purge_step": start.step,  # hides what was logged after the checkpoint
        },
        takes_text=True,
    ),
    "trackio": Kind(
        tracker="accelerate.tracking:TrackioTracker",
        options=lambda start: {
            "run_name": PROJECT,
            "name": start.id or f"{start.name}-{secrets.token_hex(3)}",  # by which it is found
            "resume": "allow",
        },
        id_of=lambda tracker: tracker.tracker.name,
        takes_text=True,
    ),
    "wandb": Kind(
        tracker="accelerate.tracking:WandBTracker",
        options=lambda start: {
            "run_name": PROJECT,
            "name": start.name,
            "dir": str(start.folder),
            "id": start.id,
            "resume": None if start.id is None else "allow",
        },
        id_of=lambda tracker: tracker.tracker.id,
        takes_text=True,
    ),
}


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Refuse trackers that are not installed, before anything is loaded.

    Raises:
        RecipeError: Names the first and the command that installs it.
    """
    for name in names:
        if find_spec(name) is None:
            raise RecipeError(
                f"report: {name} is not installed; install it (pip install {name}), or take it out "
                "of report"
            )


class Trackers:
    """The trackers of one run, while it is entered.

    Args:
        recipe: Says which; its keys are shown with the run.
        folder: Of the run. What finds the run again in a tracker is kept there.
        step: The first that will be logged, counted over all stages.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, *, step: int) -> None:
        self._recipe, self._folder, self._step = recipe, folder, step
        self._started: list[tuple[Kind, Any]] = []
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        if not self._recipe.report:
            return self
        from accelerate import PartialState

        PartialState()  # without it, a tracker's own log lines are errors
        known = _read(self._folder.trackers)
        with self._exits as exits:
            for name in self._recipe.report:
                self._start(name, known)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def write(self, metrics: StepMetrics, *, total_step: int) -> None:
        """Log one step.

        Args:
            metrics: What was measured; sample answers only go where text can be shown.
            total_step: Its number over all stages.
        """
        given = {name: getattr(metrics, name) for name in _NUMBERS}
        numbers = {name: value for name, value in given.items() if value is not None}
        numbers |= metrics.measures or {}
        for kind, tracker in self._started:
            text = {"answers": shown(metrics)} if metrics.answers and kind.takes_text else {}
            tracker.log(numbers | text, step=total_step)

    def _start(self, name: TrackerName, known: dict[str, str | None]) -> None:
        """Start one tracker; one that does not know the run yet is also given the recipe."""
        kind, path = KINDS[name], self._folder.path
        start = Start(name=path.name, folder=path, id=known.get(name), step=self._step)
        module, _, own = kind.tracker.partition(":")
        tracker = getattr(import_module(module), own)(**kind.options(start))
        tracker.start()
        self._exits.callback(tracker.finish)
        if name not in known:
            tracker.store_init_configuration(dict(leaves(self._recipe.model_dump(mode="json"))))
            known[name] = None if kind.id_of is None else kind.id_of(tracker)
            with write_file(self._folder.trackers) as file:
                file.write(json.dumps(known).encode())
        self._started.append((kind, tracker))


def shown(metrics: StepMetrics) -> str:
    """The sample answers of a step as a list in Markdown."""
    return "\n".join(
        f"- {each['question']} **{each['answer']}** ({each['expected']})"
        for each in metrics.answers or []
    )


def _read(path: Path) -> dict[str, str | None]:
    """What each tracker, by its name, finds this run by; empty for a new run."""
    if not path.is_file():
        return {}
    known: dict[str, str | None] = json.loads(path.read_text(encoding="utf-8"))
    return known
