"""The tasks that come with the project: the held-out playground and the recorded data.

Does not contain the data; recorded tasks need its folder and are skipped, with a note, where it is
absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from anymal.data.rows import Record
from anymal.errors import DataError
from anymal.evaluation.task import Task, read_manifest
from anymal.recipe.data_entry import DataRecipe

DEFAULT_SIZE = 300
TINY, LAPTOP = "tiny", "laptop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tasks, and those that could not be loaded.

    Attributes:
        tasks: What to evaluate.
        skipped: Task to the reason why it is left out.
    """

    tasks: Sequence[Task]
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A task of the tiny suite before its records are opened.

    Attributes:
        source: `module:function`, as in recipes.
        note: What is asked, about what.
        target: Accuracy to reach, in percent.
        reference: Accuracy of a plain supervised network, in percent.
        is_drawn: Whether records are drawn at random, as many as wanted; else they are files.
        has_controls: Whether blank and swapped media make sense.
        options: Of the source, besides split and seed.
    """

    source: str
    note: str
    target: float | None = None
    reference: float | None = None
    is_drawn: bool = True
    has_controls: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


def _recorded(name: str, note: str, **figures: Any) -> Entry:
    """A task on recordings."""
    return Entry(source=f"anymal.playground.recorded:{name}", note=note, **figures)


def _generated(name: str, note: str, **figures: Any) -> Entry:
    """A task on generated media."""
    return Entry(source=f"anymal.playground.sources:{name}", note=note, **figures)


PLAYGROUND: Mapping[str, Entry] = {
    "scenes": _generated("scenes", "generated images", target=95),
    "clips": _generated("clips", "generated videos", target=95),
    "sounds": _generated("sounds", "generated sounds", target=95),
    "motions": _generated("motions", "generated motion recordings", target=95),
    "mixed": _generated("mixed", "two generated media, compared"),
    "later_turns": _generated("later_turns", "a second generated medium, in a later turn"),
}

RECORDED: Mapping[str, Entry] = {
    "digits": _recorded(
        "digits",
        "spoken digits: other takes of the trained speakers (target: of an unheard one)",
        target=89,
        reference=94,
        is_drawn=False,
    ),
    "activities": _recorded(
        "activities",
        "phone motion: people who were not trained on",
        target=88,
        reference=93,
        is_drawn=False,
    ),
    "signs": _recorded(
        "signs", "hand signs: other photos", target=93, reference=98, is_drawn=False
    ),
    "clothing": _recorded(
        "clothing", "clothing: other photos", target=79, reference=84, is_drawn=False
    ),
    "sign_clips": _recorded("sign_clips", "clips of three hand signs: their order", target=80),
    "sign_and_speech": _recorded(
        "sign_and_speech", "a hand sign and a spoken digit: do they match?", target=85
    ),
    "larger_digit": _recorded("larger_digit", "a hand sign and a spoken digit: which is larger?"),
}


def _refusing(name: str, note: str, **figures: Any) -> Entry:
    """A task about what is to be refused, or not; right whatever the medium holds."""
    source = f"anymal.playground.refused_records:{name}"
    return Entry(source=source, note=note, has_controls=False, **figures)


REFUSALS: Mapping[str, Entry] = {
    "refused_absent": _refusing("refused_absent", "a medium that did not come", target=95),
    "refused_kind": _refusing("refused_kind", "another kind of medium than came", target=95),
    "refused_outside": _refusing(
        "refused_outside", "the rest of the world, in words never trained on", target=95
    ),
    "false_refusals": _refusing(
        "false_refusals",
        "questions of every kind that have to be answered: share that is not refused",
        target=99,
    ),
}


# Whom the recipes of `train/recipes/laptop` leave out.
_UNHEARD = {"unheard": "theo"}
# By `train/recipes/laptop`, which are not about refusals.
_LAPTOP_RECORDED: Mapping[str, Entry] = {
    "digits": replace(
        RECORDED["digits"],
        note="spoken digits of a speaker who was never heard",
        target=98,
        options=_UNHEARD,
    ),
    "activities": replace(RECORDED["activities"], target=93),
    "signs": replace(RECORDED["signs"], target=97),
    "clothing": replace(RECORDED["clothing"], target=82),
    "sign_clips": replace(RECORDED["sign_clips"], target=88),
    "sign_and_speech": replace(RECORDED["sign_and_speech"], target=95, options=_UNHEARD),
    "larger_digit": replace(RECORDED["larger_digit"], target=90, options=_UNHEARD),
}


def tiny_suite(data: Path | None, *, size: int | None = None, seed: int = 0) -> Suite:
    """The tasks by which the built-in model is judged.

    Args:
        data: Folder of the recorded data; None or a missing folder skips the recorded tasks, and
            leaves recordings out of those about refusals.
        size: Records of each task that draws them.
        seed: Seed of the drawn records.

    Returns:
        Held-out tasks, and the skipped ones with the reason.
    """
    return _suite(RECORDED, REFUSALS, data=data, size=size, seed=seed)


def laptop_suite(data: Path | None, *, size: int | None = None, seed: int = 0) -> Suite:
    """The tasks by which the chat model of `train/recipes/laptop` is judged; see `tiny_suite`."""
    return _suite(_LAPTOP_RECORDED, {}, data=data, size=size, seed=seed)


_SUITES = {TINY: tiny_suite, LAPTOP: laptop_suite}


def _suite(
    recorded: Mapping[str, Entry],
    others: Mapping[str, Entry],
    *,
    data: Path | None,
    size: int | None,
    seed: int,
) -> Suite:
    """The playground, recordings where there are any, and others."""
    options: dict[str, Any] = {"split": "heldout", "seed": seed}
    size = size or DEFAULT_SIZE
    tasks = [_open(name, entry, options, size) for name, entry in PLAYGROUND.items()]
    skipped: dict[str, str] = {}
    if data is None or not data.is_dir():
        why = "no data folder given" if data is None else f"no folder {data}"
        reason = f"{why}; pass --data DIR or set ANYMAL_DATA to the recorded data"
        skipped = dict.fromkeys(recorded, reason)
    else:
        options["data"] = str(data)
        tasks += [_open(name, entry, options, size) for name, entry in recorded.items()]
    tasks += [_open(name, entry, options, size) for name, entry in others.items()]
    return Suite(tasks=tasks, skipped=skipped)


def load_suites(names: Sequence[str], *, data: Path | None, size: int | None = None) -> Suite:
    """Load suites by name.

    Args:
        names: "tiny", "laptop", or paths of JSONL manifests.
        data: Folder of the recorded data.
        size: Records of each task of the tiny suite.

    Returns:
        All tasks together.

    Raises:
        DataError: If a manifest cannot be read, or two tasks have one name.
    """
    tasks: list[Task] = []
    skipped: dict[str, str] = {}
    for name in names:
        if name in _SUITES:
            suite = _SUITES[name](data, size=size)
        elif not Path(name).exists():
            known = ", ".join(map(repr, _SUITES))
            raise DataError(f"no suite and no manifest {name!r}; give {known}, or a data file")
        else:
            suite = Suite(tasks=read_manifest(DataRecipe(manifest=name)))
        tasks += suite.tasks
        skipped |= suite.skipped
    task_names = [task.name for task in tasks]
    twice = sorted({name for name in task_names if task_names.count(name) > 1})
    if twice:
        raise DataError(f"tasks {twice} come from two suites; rename meta.task in one of them")
    return Suite(tasks=tasks, skipped=skipped)


def select(suite: Suite, names: Sequence[str]) -> Suite:
    """Only some tasks of a suite.

    Args:
        suite: All tasks.
        names: Tasks to keep; empty keeps all.

    Returns:
        The suite with those tasks.

    Raises:
        DataError: If a name is not in the suite.
    """
    if not names:
        return suite
    known = [*(task.name for task in suite.tasks), *suite.skipped]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise DataError(f"unknown tasks {unknown}; this suite has: {', '.join(known)}")
    return Suite(
        tasks=[task for task in suite.tasks if task.name in names],
        skipped={name: why for name, why in suite.skipped.items() if name in names},
    )


def without_refusals(suite: Suite) -> Suite:
    """The suite for a model that `needs_media`: it takes no question that lacks its medium."""
    reason = "the bundle takes no conversation without a medium (needs_media)"
    return Suite(
        tasks=[task for task in suite.tasks if task.name not in REFUSALS],
        skipped={
            **suite.skipped,
            **{task.name: reason for task in suite.tasks if task.name in REFUSALS},
        },
    )


def _open(name: str, entry: Entry, options: Mapping[str, Any], size: int) -> Task:
    """Open the records of one task."""
    module, _, function = entry.source.partition(":")
    # Files come by class, so a task of them opens them all; `limit` then picks at random.
    sizes = {"size": size} if entry.is_drawn else {}
    records: Sequence[Record] = getattr(import_module(module), function)(
        **options, **sizes, **entry.options
    )
    return Task(
        name=name,
        records=records,
        # Records of some sources name files instead of carrying them.
        base_dir=getattr(records, "base_dir", None),
        target=entry.target,
        reference=entry.reference,
        note=entry.note,
        has_controls=entry.has_controls,
    )
