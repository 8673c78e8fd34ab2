"""What is evaluated: named sets of records with known answers.

Does not generate answers; see `runner.py`.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.errors import DataError
from anymal.evaluation.metrics.base import Metric
from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.scoring import Expected, is_right

Record = Mapping[str, Any]
Scorer = Callable[[str, Expected], bool]


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


def read_manifest(path: Path) -> list[Task]:
    """Read a JSONL manifest as tasks, one for each `meta.task`.

    Args:
        path: One conversation on each line; its paths are relative to the manifest.

    Returns:
        Tasks in the order of their first record.

    Raises:
        DataError: If the file or one of its lines cannot be read.
    """
    if not path.is_file():
        raise DataError(f"no manifest {path}; give 'tiny' or a JSONL file of conversations")
    groups: dict[str, list[Record]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            record = _read_line(line, f"{path}:{number}")
            name = str((record.get("meta") or {}).get("task") or path.stem)
            groups.setdefault(name, []).append(record)
    if not groups:
        raise DataError(f"manifest {path} is empty; write one conversation on each line")
    return [
        Task(name=name, records=records, base_dir=path.parent) for name, records in groups.items()
    ]


def as_tasks(tasks: Iterable[Task] | Mapping[str, Sequence[Record]]) -> list[Task]:
    """Tasks as a list; a mapping of name to records is enough where nothing else is to be said."""
    if isinstance(tasks, Mapping):
        return [Task(name=name, records=records) for name, records in tasks.items()]
    return list(tasks)


def _read_line(line: str, place: str) -> Record:
    """One record of a manifest."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{place} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise DataError(
            f"{place} holds {type(record).__name__}; it must be an object with messages"
        )
    return {"id": place, **record}
