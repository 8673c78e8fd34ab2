"""Tasks by the names of suites: those that come with the project, and public benchmarks.

Does not contain the data; recorded tasks need its folder and are skipped, with a note, where it is
absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from anymal.data.rows import Record
from anymal.errors import DataError
from anymal.evaluation.benchmarks.registry import BENCHMARKS, TEXT_ONLY, open_benchmark
from anymal.evaluation.suite_tables import (
    LAPTOP_RECORDED,
    MIXED2,
    MIXED2_RECORDED,
    PLAYGROUND,
    RECORDED,
    REFUSALS,
    Entry,
)
from anymal.evaluation.task import Task, read_manifest
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.schema import load_recipe

DEFAULT_SIZE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tasks, and those that could not be loaded.

    Attributes:
        tasks: What to evaluate.
        skipped: Task to the reason why it is left out.
    """

    tasks: Sequence[Task]
    skipped: Mapping[str, str] = field(default_factory=dict)


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
    return _suite(PLAYGROUND, RECORDED, REFUSALS, data=data, size=size, seed=seed)


def laptop_suite(data: Path | None, *, size: int | None = None, seed: int = 0) -> Suite:
    """The tasks by which the chat model of `train/recipes/laptop` is judged; see `tiny_suite`."""
    return _suite(PLAYGROUND, LAPTOP_RECORDED, {}, data=data, size=size, seed=seed)


def mixed2_suite(data: Path | None, *, size: int | None = None, seed: int = 0) -> Suite:
    """Questions about two media of which one alone says nothing; see `tiny_suite`."""
    return _suite(MIXED2, MIXED2_RECORDED, {}, data=data, size=size, seed=seed)


_SUITES = {"tiny": tiny_suite, "laptop": laptop_suite, "mixed2": mixed2_suite}


def _suite(
    generated: Mapping[str, Entry],
    recorded: Mapping[str, Entry],
    others: Mapping[str, Entry],
    *,
    data: Path | None,
    size: int | None,
    seed: int,
) -> Suite:
    """Generated tasks, recordings where there are any, and others."""
    options: dict[str, Any] = {"split": "heldout", "seed": seed}
    size = size or DEFAULT_SIZE
    tasks = [_open(name, entry, options, size) for name, entry in generated.items()]
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


def load_suites(
    names: Sequence[str], *, data: Path | None, size: int | None = None, java: bool = False
) -> Suite:
    """Load suites by name.

    Args:
        names: "tiny", "laptop", "mixed2", keys of `BENCHMARKS`, or paths of JSONL manifests or of
            recipes, whose held-out records are asked.
        data: Folder of the recorded data, or of the benchmarks.
        size: Records of each task of the tiny suite.
        java: Whether to measure captions of benchmarks with what Java brings.

    Returns:
        All tasks together.

    Raises:
        DataError: If a manifest or a benchmark cannot be read, or two tasks have one name.
        RecipeError: If a recipe cannot be read.
    """
    tasks: list[Task] = []
    skipped: dict[str, str] = {}
    for name in names:
        if name in _SUITES:
            suite = _SUITES[name](data, size=size)
        elif name in BENCHMARKS:
            suite = Suite(tasks=open_benchmark(name, data, java=java))
        elif not Path(name).exists():
            known = ", ".join(map(repr, [*_SUITES, *BENCHMARKS]))
            raise DataError(f"no suite and no data file {name!r}; give {known}, or a data file")
        elif Path(name).suffix in (".yaml", ".yml"):
            suite = Suite(tasks=_heldout_of(Path(name)))
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
    left_out = {*REFUSALS, *TEXT_ONLY}
    return Suite(
        tasks=[task for task in suite.tasks if task.name not in left_out],
        skipped={
            **suite.skipped,
            **{task.name: reason for task in suite.tasks if task.name in left_out},
        },
    )


def _heldout_of(path: Path) -> list[Task]:
    """The held-out records of a recipe, with its prompts, suffixes and tags."""
    entries = {
        entry.model_dump_json(exclude={"weight"}): entry
        for stage in load_recipe(path).stages
        for entry in stage.heldout or []
    }
    if not entries or any(entry.manifest is None for entry in entries.values()):
        raise DataError(
            f"{path} has no held-out records, or some of a Python source; give a recipe whose "
            "heldout names manifests, or a data file"
        )
    return [task for entry in entries.values() for task in read_manifest(entry)]


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
