"""What is evaluated: named sets of records with known answers.

Does not generate answers; see `runner.py`.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from anymal.data.registry import open_rows
from anymal.data.rows import Chosen, Record, Rows
from anymal.errors import DataError
from anymal.evaluation.metrics.base import Metric
from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.scoring import Expected, is_right
from anymal.recipe.data_entry import DataRecipe

Scorer = Callable[[str, Expected], bool]

_NUM_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Records that are measured together, as one row of the table.

    Attributes:
        name: Name of the row.
        records: Conversations, each with `meta` (see `scoring.py`); a last turn of the assistant
            is taken off.
        scorer: Decides whether an answer is right, where there are no metrics.
        metrics: What is measured instead; the first one is the task's score.
        base_dir: Folder to which paths in the records are relative; None allows data URLs only.
        target: Accuracy to reach, in percent.
        reference: Accuracy of a plain supervised network on the same data, in percent.
        note: One sentence for the model card: what is asked, about what.
        has_controls: Whether another medium makes another answer right; where it does not, as
            where a question has to be refused, blank and swapped media would show nothing.
    """

    name: str
    records: Sequence[Record]
    scorer: Scorer = is_right
    metrics: Sequence[Metric] = ()
    base_dir: Path | None = None
    target: float | None = None
    reference: float | None = None
    note: str = ""
    has_controls: bool = True

    @property
    def judged_by(self) -> Sequence[Metric]:
        """What is measured, the score first."""
        return self.metrics or (RightOrWrong(scorer=self.scorer),)


def pick(records: Sequence[Record], limit: int | None, *, seed: int = 0) -> list[Record]:
    """The records to evaluate: all, or a repeatable random choice of `limit` of them.

    A random choice, because every n-th record may well be of one class.
    """
    if limit is None or limit >= len(records):
        return [records[index] for index in range(len(records))]
    return [
        records[index] for index in sorted(random.Random(seed).sample(range(len(records)), limit))
    ]


def read_manifest(entry: DataRecipe) -> list[Task]:
    """Open a data set as tasks, one for each `meta.task`.

    Args:
        entry: As a recipe names data to train on; its paths are absolute or relative to the working
            directory.

    Returns:
        Tasks in the order of their first record, whose records are read when they are asked.

    Raises:
        DataError: If the data set or some of its rows cannot be read; the message names rows.
    """
    rows = open_rows(entry)
    groups: dict[str, list[int]] = {}
    problems: list[str] = []
    for index in range(len(rows)):
        try:
            meta = rows[index].get("meta")
        except DataError as error:
            problems.append(str(error))
            continue
        if not isinstance(meta, Mapping | None):
            problems.append(f"{rows.where(index)}: meta is {meta!r:.80}, and no object")
            continue
        name = str((meta or {}).get("task") or entry.name or Path(str(entry.manifest)).stem)
        groups.setdefault(name, []).append(index)
    if problems:
        named = "; ".join(problems[:_NUM_NAMED])
        raise DataError(
            f"{len(problems)} of {len(rows):,} rows cannot be read: {named}; repair or remove them"
        )
    return [
        Task(name=name, records=Named(Chosen.of(rows, indices)), base_dir=rows.base_dir)
        for name, indices in groups.items()
    ]


class Named(Sequence[Record]):
    """Records of a data set; one without an `id` is called by its place."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return {"id": self._rows.where(number), **self._rows[number]}


def as_tasks(tasks: Iterable[Task] | Mapping[str, Sequence[Record]]) -> list[Task]:
    """Tasks as a list; a mapping of name to records is enough where nothing else is to be said."""
    if isinstance(tasks, Mapping):
        return [Task(name=name, records=records) for name, records in tasks.items()]
    return list(tasks)
