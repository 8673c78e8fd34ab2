"""The tasks that come with the project: the held-out playground and the recorded data.

Does not contain the data; recorded tasks need its folder and are skipped, with a note, where it is
absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from anymal.errors import DataError
from anymal.evaluation.task import Record, Task, read_manifest

DEFAULT_SIZE = 300
TINY = "tiny"


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
class _Entry:
    """A task of the tiny suite before its records are opened; `source` is written as in recipes."""

    source: str
    note: str
    target: float | None = None
    reference: float | None = None


PLAYGROUND: Mapping[str, _Entry] = {
    "scenes": _Entry(source="anymal.playground.sources:scenes", target=95, note="generated images"),
    "clips": _Entry(source="anymal.playground.sources:clips", target=95, note="generated videos"),
    "sounds": _Entry(source="anymal.playground.sources:sounds", target=95, note="generated sounds"),
    "motions": _Entry(
        source="anymal.playground.sources:motions", target=95, note="generated motion recordings"
    ),
    "mixed": _Entry(
        source="anymal.playground.sources:mixed",
        note="generated media of two modalities in one question",
    ),
}

RECORDED: Mapping[str, _Entry] = {
    "digits": _Entry(
        source="anymal.playground.recorded:digits",
        target=89,
        reference=94,
        note="spoken digits, an unheard speaker",
    ),
    "activities": _Entry(
        source="anymal.playground.recorded:activities",
        target=88,
        reference=93,
        note="phone motion, unseen people",
    ),
    "signs": _Entry(
        source="anymal.playground.recorded:signs",
        target=93,
        reference=98,
        note="photos of hand signs",
    ),
    "clothing": _Entry(
        source="anymal.playground.recorded:clothing",
        target=79,
        reference=84,
        note="grey photos of clothing",
    ),
    "sign_clips": _Entry(
        source="anymal.playground.recorded:sign_clips",
        target=80,
        note="order of three hand signs in a clip",
    ),
    "sign_and_speech": _Entry(
        source="anymal.playground.recorded:sign_and_speech",
        target=85,
        note="a hand sign with a spoken digit",
    ),
}


def tiny_suite(data: Path | None, *, size: int | None = None, seed: int = 0) -> Suite:
    """The tasks by which the built-in model is judged.

    Args:
        data: Folder of the recorded data; None or a missing folder skips the recorded tasks.
        size: Records of each task.
        seed: Seed of the generated and composed records.

    Returns:
        Held-out tasks, and the skipped ones with the reason.
    """
    options: dict[str, Any] = {"split": "heldout", "size": size or DEFAULT_SIZE, "seed": seed}
    tasks = [
        _open(name, entry, {**options, "style": "question"}) for name, entry in PLAYGROUND.items()
    ]
    if data is None or not data.is_dir():
        why = "no data folder given" if data is None else f"no folder {data}"
        reason = f"{why}; pass --data DIR or set ANYMAL_DATA to the recorded data"
        return Suite(tasks=tasks, skipped=dict.fromkeys(RECORDED, reason))
    tasks += [
        _open(name, entry, {**options, "data": str(data)}) for name, entry in RECORDED.items()
    ]
    return Suite(tasks=tasks)


def load_suites(names: Sequence[str], *, data: Path | None, size: int | None = None) -> Suite:
    """Load suites by name.

    Args:
        names: "tiny", or paths of JSONL manifests.
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
        suite = (
            tiny_suite(data, size=size) if name == TINY else Suite(tasks=read_manifest(Path(name)))
        )
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


def _open(name: str, entry: _Entry, options: Mapping[str, Any]) -> Task:
    """Open the records of one task."""
    module, _, function = entry.source.partition(":")
    records: Sequence[Record] = getattr(import_module(module), function)(**options)
    return Task(
        name=name,
        records=records,
        # Records of some sources name files instead of carrying them.
        base_dir=getattr(records, "base_dir", None),
        target=entry.target,
        reference=entry.reference,
        note=entry.note,
    )
