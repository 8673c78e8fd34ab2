"""A task of media that several people described: one question for each medium, all captions known.

Does not read files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymal.data.rows import Record
from anymal.evaluation.benchmarks.folder import Folder, Made
from anymal.evaluation.metrics.captions import caption_metrics
from anymal.evaluation.metrics.java import java_metrics
from anymal.evaluation.task import Task
from anymal.recipe.prompts import PROMPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A medium and what people wrote about it.

    Attributes:
        id: Of the medium.
        medium: As `PromptStyle.conversation` takes it: a path in the task's folder, or an object.
        captions: At least one.
        kind: By which the score is broken down; empty for none.
    """

    id: str
    medium: str | Mapping[str, Any]
    captions: Sequence[str]
    kind: str = ""


def caption_task(
    folder: Folder,
    media: Sequence[Described],
    *,
    prompt: str,
    below: str,
    note: str,
    java: bool,
) -> Task:
    """Make the task.

    Args:
        folder: Of the benchmark.
        media: One for each question.
        prompt: Name of the prompt that asks for a caption.
        below: Folder inside it that paths of media are relative to.
        note: What is asked, about what.
        java: Whether to measure with what Java brings.
    """
    style = PROMPTS[prompt]

    def record(one: Described) -> Record:
        return style.conversation(
            {
                "id": one.id,
                style.modality: one.medium,
                "text": one.captions[0],
                "meta": {
                    "task": one.kind or folder.name,
                    "answer": one.captions[0],
                    "references": list(one.captions),
                },
            }
        )

    metrics = java_metrics if java else caption_metrics
    return Task(
        name=folder.name,
        records=Made(rows=media, make=record),
        metrics=metrics(answer_key=style.answer_key),
        base_dir=folder.path / below,
        note=note,
    )
