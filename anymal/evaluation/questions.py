"""The questions of a task, and the same questions as each control and perturbation asks them.

Does not ask or judge; `controls.py` rewrites single conversations.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

from anymal.data.rows import Record
from anymal.errors import DataError
from anymal.evaluation.asked import digest_of, read_asked
from anymal.evaluation.controls import (
    blank,
    change_media,
    choose_donors,
    media_of,
    modality_of_part,
    prompt_of,
    text_of,
    with_media,
    without_medium,
)
from anymal.evaluation.perturb import PERTURBATIONS, Perturbation, perturb_part
from anymal.evaluation.scoring import Expected, read_expected
from anymal.evaluation.task import Task
from anymal.evaluation.wrong_medium import other_kind, wrong_medium
from anymal.processor import Processor

Control = Literal["blank", "swapped", "wrong_medium", "one_removed"]
CONTROLS: tuple[Control, ...] = get_args(Control)
WITHOUT = "without "  # begins the label of a question of which the named medium is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a task, ready to be asked.

    Attributes:
        number: Its place in the task.
        name: The record's `id`.
        prompt: The conversation without its answer.
        expected: What the answer has to say.
        asked: Digest of the question with its true media; one that comes twice has two.
        medium: Digest of its true media.
        donor: What the answer would have to say about swapped media, where that is known.
    """

    number: int
    name: str
    prompt: Mapping[str, Any]
    expected: Expected
    asked: str
    medium: str
    donor: Expected | None = None


def read_questions(task: Task, records: Sequence[Record], processor: Processor) -> list[Question]:
    """The questions of a task with their true media.

    Raises:
        DataError: There are none, or one has no known answer.
        ConversationError: One is no conversation.
        MediaError: A medium cannot be read.
    """
    if not records:
        raise DataError(f"task '{task.name}' has no records; give at least one")
    questions = []
    times: Counter[str] = Counter()
    for number, record in enumerate(records):
        prompt = prompt_of(record)
        expected = read_expected(record, default_task=task.name)
        asked = read_asked(prompt, limits=processor.limits, base_dir=task.base_dir)
        times[asked.digest] += 1
        questions.append(
            Question(
                number=number,
                name=str(record.get("id", number)),
                prompt=prompt,
                expected=expected,
                asked=digest_of([asked.digest, times[asked.digest]]),
                medium=asked.medium,
            )
        )
    return questions


def check_known(controls: Sequence[str], perturbations: Sequence[str]) -> tuple[Perturbation, ...]:
    """Refuse controls and perturbations that do not exist.

    Args:
        controls: Names of controls.
        perturbations: Names of perturbations.

    Returns:
        The perturbations.

    Raises:
        DataError: The message names those that exist.
    """
    kinds = ("controls", controls, CONTROLS), ("perturbations", perturbations, PERTURBATIONS)
    for what, given, known in kinds:
        if unknown := sorted(set(given) - set(known)):
            raise DataError(f"unknown {what} {unknown}; known: {', '.join(known)}")
    return tuple(name for name in PERTURBATIONS if name in perturbations)


def as_controls_ask(
    questions: Sequence[Question], task: Task, processor: Processor, controls: Sequence[Control]
) -> Iterator[tuple[str, list[Question]]]:
    """The questions as controls ask them, one control after the other: all their media are held.

    Questions that a control cannot ask are left out: all of those without a medium, those without
    another record to swap with, those whose model takes one kind of medium only, and those with
    one medium, which cannot be left out.

    Args:
        questions: Of the task.
        task: With its folder.
        processor: The model's own.
        controls: Which.

    Yields:
        A label and the questions.
    """
    if not task.has_controls:
        return
    with_any = [question for question in questions if media_of(question.prompt)]
    if "blank" in controls:
        yield "blank", [_changed(question, task, processor, blank) for question in with_any]
    if "swapped" in controls:
        yield "swapped", _swapped(questions)
    if "wrong_medium" in controls:
        yield "wrong_medium", _of_another_kind(with_any, processor)
    if "one_removed" in controls:
        yield from _one_removed(with_any).items()


def perturbed(
    questions: Sequence[Question], task: Task, processor: Processor, how: Perturbation
) -> list[Question]:
    """The questions about perturbed media, those without a medium left out."""
    return [
        _changed(
            question,
            task,
            processor,
            lambda _, signal, number=question.number: perturb_part(signal, how, seed=[number]),
        )
        for question in questions
        if media_of(question.prompt)
    ]


def _changed(question: Question, task: Task, processor: Processor, change: Any) -> Question:
    """A question about changed media."""
    prompt = change_media(question.prompt, processor, change, base_dir=task.base_dir)
    return replace(question, prompt=prompt)


def _swapped(questions: Sequence[Question]) -> list[Question]:
    """The questions about other records' media."""
    prompts = [question.prompt for question in questions]
    donors = choose_donors(prompts, [question.expected for question in questions])
    return [
        replace(
            question,
            prompt=with_media(question.prompt, media_of(prompts[donor])),
            # Only an answer to the same question says what is right for the donor's media.
            donor=questions[donor].expected
            if text_of(prompts[donor]) == text_of(question.prompt)
            else None,
        )
        for question, donor in zip(questions, donors, strict=True)
        if donor is not None
    ]


def _of_another_kind(questions: Sequence[Question], processor: Processor) -> list[Question]:
    """The questions with another kind of medium in the place of each."""
    instead = partial(other_kind, known=processor.modalities)
    rewritten = []
    for question in questions:
        kinds = [instead(modality_of_part(part)) for part in media_of(question.prompt)]
        media = [
            wrong_medium(kind, seed=[question.number, place])
            for place, kind in enumerate(kinds)
            if kind is not None
        ]
        if len(media) == len(kinds):
            rewritten.append(replace(question, prompt=with_media(question.prompt, media)))
    return rewritten


def _one_removed(questions: Sequence[Question]) -> dict[str, list[Question]]:
    """The questions with one medium left out, by the name of that medium."""
    asked: dict[str, list[Question]] = {}
    for question in questions:
        names = media_names(question.prompt)
        for place, name in enumerate(names if len(names) > 1 else ()):
            rewritten = replace(question, prompt=without_medium(question.prompt, place))
            asked.setdefault(f"{WITHOUT}{name}", []).append(rewritten)
    return dict(sorted(asked.items()))


def media_names(prompt: Mapping[str, Any]) -> list[str]:
    """What reports call the media of a conversation: `image`, and `image 2` where there is one."""
    names: list[str] = []
    for part in media_of(prompt):
        modality = modality_of_part(part)
        earlier = sum(name.partition(" ")[0] == modality for name in names)
        names.append(f"{modality} {earlier + 1}" if earlier else modality)
    return names
