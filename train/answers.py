"""Held-out questions: some of them while a model trains, all with a control after the last stage.

Does not generate or score by itself (see `anymal.evaluation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from anymal.assemble import Assembled, from_media
from anymal.evaluation.answered import Answered
from anymal.evaluation.answers import start_batch_assistant
from anymal.evaluation.controls import text_of
from anymal.evaluation.results import Results
from anymal.evaluation.runner import evaluate
from anymal.evaluation.task import Task
from anymal.llm.packable import same_attention
from train.data.feed import heldout_draws
from train.data.sources import Source
from train.random_state import random_state, set_random_state

_BATCH_SIZE = 16
SAMPLES = 4  # answers that are kept of each time: to read, not to count


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model in training answered.

    Attributes:
        accuracy: Share of right answers, over all questions.
        samples: The first answers, always to the same questions: `question`, `expected`, `answer`
            and `right`.
    """

    accuracy: float
    samples: list[dict[str, Any]]


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


def ask(assembled: Assembled, tasks: Sequence[Task]) -> Asked:
    """Ask questions between two steps of training, which then continues unchanged.

    Args:
        assembled: The model in training and its processor.
        tasks: At least one.

    Returns:
        How many answers are right, and some of them.
    """
    model, name = assembled.model, "training"
    samples: list[dict[str, Any]] = []

    def keep(task: Task, true: Answered) -> None:
        pairs = zip(true.questions, true.replies, strict=True)
        samples.extend(
            {
                "question": text_of(question.prompt),
                "expected": question.expected.answer,
                "answer": reply.text,
                "right": task.scorer(reply.text, question.expected),
            }
            for question, reply in islice(pairs, SAMPLES - len(samples))
        )

    was_training, state = model.training, random_state()
    # Encoders lie on the CPU where training reads features, which questions cannot.
    places = {parameter.device for parameter in model.encoders.parameters()}
    with same_attention(model.llm):
        model.eval()
        seeing = from_media(assembled)
        with start_batch_assistant(seeing, name=name, batch_size=_BATCH_SIZE) as assistant:
            results = evaluate(
                assistant, tasks, controls=[], batch_size=_BATCH_SIZE, bundle=name, watch=keep
            )
    for place in places:
        model.encoders.to(place)
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # the engine's keys and values took most of what was free
    model.train(was_training)
    set_random_state(state)
    scores = [task.score for task in results.tasks]
    return Asked(
        accuracy=sum(score.correct for score in scores) / sum(score.n for score in scores),
        samples=samples,
    )


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
