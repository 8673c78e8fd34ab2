"""Asks the model every question, with the true, the blank and the swapped medium, and counts.

Does not decode media, tokenise or generate; `answers.py` does, through the assistant that serves.
Does not print: one callback gets the progress, another every answer.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Literal

from anymal.data.rows import Record
from anymal.engine.sampling import Sampling
from anymal.errors import DataError
from anymal.evaluation.answers import answer_all
from anymal.evaluation.controls import (
    blank_media,
    choose_donors,
    media_of,
    prompt_of,
    text_of,
    with_media,
)
from anymal.evaluation.intervals import Share, paired_difference, share_of
from anymal.evaluation.results import Compared, Results, TaskResult
from anymal.evaluation.scoring import Expected, read_expected
from anymal.evaluation.task import Task, as_tasks, pick
from anymal.serving.assistant import Assistant

Control = Literal["blank", "swapped"]
CONTROLS: tuple[Control, ...] = ("blank", "swapped")
Progress = Callable[[str, int, int], None]
Log = Callable[[Mapping[str, Any]], None]

# A breakdown by more answers than this (orders of three signs, say) would be a list of ones.
_MAX_BREAKDOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a task, ready to be asked.

    Attributes:
        prompt: The conversation without its answer.
        expected: What the answer has to say.
        donor: What the answer would have to say about swapped media, where that is known.
    """

    prompt: Mapping[str, Any]
    expected: Expected
    donor: Expected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Questions with their answers, and which of those are right."""

    questions: Sequence[Question]
    texts: Sequence[str]
    right: Sequence[bool]


Ask = Callable[[Assistant, Task, Sequence[Question], str], Answered]


def evaluate(
    assistant: Assistant,
    tasks: Iterable[Task] | Mapping[str, Sequence[Record]],
    *,
    controls: Sequence[Control] = CONTROLS,
    batch_size: int = 16,
    limit: int | None = None,
    max_tokens: int = 48,
    other: Assistant | None = None,
    bundle: str = "",
    progress: Progress | None = None,
    log: Log | None = None,
) -> Results:
    """Measure a model on tasks, greedily and repeatably.

    Args:
        assistant: What answers; see `answer_all`.
        tasks: Tasks, or just a mapping of name to records.
        controls: Which controls to run besides the true media.
        batch_size: Questions answered at a time.
        limit: Most records of each task; None takes all.
        max_tokens: Most tokens of an answer.
        other: Another model to compare with, question by question.
        bundle: Name of the model in the report.
        progress: Called with what is running, questions done, questions in all.
        log: Called with every answer as a JSON-able mapping.

    Returns:
        The figures.

    Raises:
        DataError: If a record or a control is not usable.
    """
    unknown = sorted(set(controls) - set(CONTROLS))
    if unknown:
        raise DataError(f"unknown controls {unknown}; known: {list(CONTROLS)}")

    def ask(model: Assistant, task: Task, questions: Sequence[Question], label: str) -> Answered:
        texts = answer_all(
            model,
            [question.prompt for question in questions],
            base_dir=task.base_dir,
            batch_size=batch_size,
            sampling=Sampling(max_tokens=max_tokens),
            progress=partial(progress, f"{task.name} ({label})") if progress else None,
        )
        pairs = list(zip(questions, texts, strict=True))
        right = [task.scorer(text, question.expected) for question, text in pairs]
        if log is not None:
            for (question, text), verdict in zip(pairs, right, strict=True):
                log(_line(task.name, label, question, text, verdict))
        return Answered(questions=questions, texts=texts, right=right)

    rows = [
        _measure(assistant, task, pick(task.records, limit), controls, other, ask)
        for task in as_tasks(tasks)
    ]
    settings = {"batch_size": batch_size, "limit": limit, "max_tokens": max_tokens}
    return Results(bundle=bundle, settings=settings, tasks=rows)


def _measure(
    assistant: Assistant,
    task: Task,
    records: Sequence[Record],
    controls: Sequence[Control],
    other: Assistant | None,
    ask: Ask,
) -> TaskResult:
    """One row of the table."""
    if not records:
        raise DataError(f"task '{task.name}' has no records; give at least one")
    questions = [
        Question(prompt=prompt_of(record), expected=read_expected(record, default_task=task.name))
        for record in records
    ]
    true = ask(assistant, task, questions, "media")
    asked = {
        control: ask(assistant, task, _rewrite(assistant, task, questions, control), control)
        for control in (controls if task.has_controls else ())
    }
    expected = [question.expected for question in questions]
    return TaskResult(
        name=task.name,
        note=task.note,
        modalities=_modalities(questions),
        score=share_of(true.right),
        chance=_chance(expected),
        prior=_prior(expected),
        controls={name: share_of(answered.right) for name, answered in asked.items()},
        follows_donor=_follows_donor(task, asked["swapped"]) if "swapped" in asked else None,
        breakdown=_breakdown(true),
        words=list(dict.fromkeys(word for want in expected for word in want.choices)),
        example=f"{text_of(questions[0].prompt)} -> {true.texts[0]}",
        target=task.target,
        reference=task.reference,
        compared=_compare(true, ask(other, task, questions, "other")) if other else None,
    )


def _rewrite(
    assistant: Assistant, task: Task, questions: Sequence[Question], control: Control
) -> list[Question]:
    """The questions as a control asks them; those that it cannot ask are left out."""
    if control == "blank":
        return [
            replace(
                question,
                prompt=blank_media(question.prompt, assistant.processor, base_dir=task.base_dir),
            )
            for question in questions
            if media_of(question.prompt)
        ]
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


def _follows_donor(task: Task, swapped: Answered) -> Share | None:
    """How often the answer is right for the medium that was swapped in."""
    verdicts = [
        task.scorer(text, question.donor)
        for question, text in zip(swapped.questions, swapped.texts, strict=True)
        if question.donor is not None
    ]
    return share_of(verdicts) if verdicts else None


def _chance(expected: Sequence[Expected]) -> float:
    """What blind guessing among the choices reaches; an open question is never guessed."""
    if not any(want.choices for want in expected):
        return max(Counter(want.answer for want in expected).values()) / len(expected)
    return fmean(
        len(want.choices) ** -max(1, len(want.all_of)) if want.choices else 0.0 for want in expected
    )


def _prior(expected: Sequence[Expected]) -> float:
    """What the most frequent answer to such questions reaches, each record left out in turn."""
    answers: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for want in expected:
        answers[want.task, want.choices][want.answer] += 1
    hits = 0
    for want in expected:
        # Without leaving the record out, a question that is asked once would always be "guessed".
        others = answers[want.task, want.choices] - Counter([want.answer])
        hits += bool(others) and max(sorted(others), key=others.__getitem__) == want.answer
    return hits / len(expected)


def _breakdown(answered: Answered) -> dict[str, Share]:
    """Shares by kind of question where there are several, else by right answer."""
    kinds = {question.expected.task for question in answered.questions}
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for question, right in zip(answered.questions, answered.right, strict=True):
        want = question.expected
        groups[want.task if len(kinds) > 1 else want.answer].append(right)
    if len(groups) > _MAX_BREAKDOWN:
        return {}
    return {name: share_of(groups[name]) for name in sorted(groups)}


def _compare(this: Answered, other: Answered) -> Compared:
    """Another model's figures on the same questions."""
    return Compared(score=share_of(other.right), gain=paired_difference(this.right, other.right))


def _modalities(questions: Sequence[Question]) -> list[str]:
    """The types of media parts in the questions."""
    return sorted(
        {str(part["type"]) for question in questions for part in media_of(question.prompt)}
    )


def _line(task: str, label: str, question: Question, text: str, right: bool) -> dict[str, Any]:
    """One answer for the log."""
    return {
        "task": task,
        "asked_with": label,
        "question": text_of(question.prompt),
        "expected": question.expected.answer,
        "answer": text,
        "right": right,
    }
