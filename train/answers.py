"""Held-out accuracy after the last stage: answers scored by `anymal.evaluation`, blank beside true.

Does not score or generate by itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.assemble import Assembled
from anymal.evaluation.results import Results
from anymal.evaluation.runner import evaluate
from anymal.evaluation.task import Task
from train.data import Source
from train.feed import heldout_draws


def answer_tasks(sources: Sequence[Source], *, limit: int) -> list[Task]:
    """Make one task of each source whose held-out records say what the right answer is.

    Args:
        sources: The opened `heldout` of a stage.
        limit: Most questions in all; the same records that held-out loss is measured on.

    Returns:
        No task where no record has `meta.answer`.
    """
    chosen: dict[str, list[Mapping[str, Any]]] = {}
    folders: dict[str, Path | None] = {}
    for draw in heldout_draws([len(source.records) for source in sources], limit):
        source = sources[draw.source]
        record = source.records[draw.record]
        if "answer" in (record.get("meta") or {}):
            chosen.setdefault(source.name, []).append(record)
            folders[source.name] = source.base_dir
    return [
        Task(name=name, records=records, base_dir=folders[name]) for name, records in chosen.items()
    ]


def measure_answers(assembled: Assembled, tasks: Sequence[Task], *, name: str) -> Results:
    """Ask the questions with the true and with the blank medium.

    Args:
        assembled: The trained model and its processor.
        tasks: At least one.
        name: Name of the model in the results.

    Returns:
        Accuracies, with their intervals and the control.
    """
    assembled.model.eval()
    return evaluate(assembled, tasks, controls=["blank"], bundle=name)
