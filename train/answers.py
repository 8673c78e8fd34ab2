"""Held-out accuracy after the last stage, with the true and with a blank medium.

Does not generate or score by itself (see `anymal.evaluation`).
"""

from collections.abc import Sequence

from anymal.assemble import Assembled, from_media
from anymal.evaluation.answers import start_batch_assistant
from anymal.evaluation.results import Results
from anymal.evaluation.runner import evaluate
from anymal.evaluation.task import Task
from train.data.feed import heldout_draws
from train.data.sources import Source

_BATCH_SIZE = 16


def answer_tasks(sources: Sequence[Source], *, limit: int) -> list[Task]:
    """Make one task of each source whose held-out records have a known right answer.

    Args:
        sources: The opened `heldout` of a stage.
        limit: Most questions in all; the same records that held-out loss is measured on.

    Returns:
        The tasks; none where no record has `meta.answer`.
    """
    draws = heldout_draws([len(source.records) for source in sources], limit)
    tasks = []
    for number, source in enumerate(sources):
        records = [source.records[draw.record] for draw in draws if draw.source == number]
        answerable = [record for record in records if "answer" in (record.get("meta") or {})]
        if answerable:
            tasks.append(Task(name=source.name, records=answerable, base_dir=source.base_dir))
    return tasks


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
    # Blank media are in no cache of features.
    answering = start_batch_assistant(from_media(assembled), name=name, batch_size=_BATCH_SIZE)
    with answering as assistant:
        return evaluate(assistant, tasks, controls=["blank"], batch_size=_BATCH_SIZE, bundle=name)
