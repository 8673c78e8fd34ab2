"""Decides whether a plain English answer is right, from the words that it contains.

Does not judge style or grammar, and never asks a model: the same text always gets the same verdict.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from anymal.errors import DataError
from anymal.evaluation.boxes import ExpectedBox, read_box

YES_NO = frozenset({"yes", "no"})
NONE, SEVERAL = "(none)", "(several)"  # not among choices, which hold words
_SCORES = ("choice", "contains", "avoids", "box")
_NOT_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a record's answer has to say.

    Attributes:
        task: Name of the kind of question, from `meta.task`.
        answer: The right choice; for an ordered answer, `all_of` joined by commas.
        choices: The answers that compete, or empty where the question is open.
        all_of: Choices that must all be named, in this order; empty for a single answer.
        synonyms: Other phrases that count as a choice.
        score: "choice" (exactly the right choice is named), "contains" (the answer is named) or
            "avoids" (there is an answer, and it names neither `answer` nor any of `all_of`) or
            "box" (the first box that it gives overlaps `box` by half).
        references: What people answered, where a metric compares with all of them.
        box: What "box" compares with.
    """

    task: str
    answer: str
    choices: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    synonyms: Mapping[str, Sequence[str]]
    score: Literal["choice", "contains", "avoids", "box"] = "choice"
    references: tuple[str, ...] = ()
    box: ExpectedBox | None = None


def read_expected(record: Mapping[str, Any], *, default_task: str = "") -> Expected:
    """Read and check the `meta` of a record.

    Args:
        record: A conversation with `meta = {"task", "answer", "choices", ...}`.
        default_task: The task's name where the record gives none.

    Returns:
        What the answer has to say.

    Raises:
        DataError: If `meta` lacks an answer, or the answer is not one of the choices.
    """
    meta = record.get("meta") or {}
    name = f"record '{record.get('id', '?')}'"
    choices = tuple(str(choice) for choice in meta.get("choices") or ())
    all_of = tuple(str(choice) for choice in meta.get("all_of") or ())
    answer = ", ".join(all_of) if all_of else str(meta.get("answer", ""))
    references = tuple(str(reference) for reference in meta.get("references") or ())
    score = meta.get("score", "choice" if choices else "contains")
    # An answer of signs alone is nothing to look for in a text, but metrics compare with it.
    if not words(answer) and not references:
        raise DataError(f"{name} has no meta.answer; evaluation needs the right answer there")
    if score not in _SCORES:
        allowed = ", ".join(f"'{one}'" for one in _SCORES)
        raise DataError(f"{name} has meta.score '{score}'; allowed: {allowed}")
    if score == "choice":
        unknown = [word for word in all_of or (answer,) if word not in choices]
        if unknown:
            raise DataError(
                f"{name} has the answer {unknown}, which is not in its choices {list(choices)}"
            )
    return Expected(
        task=str(meta.get("task") or default_task),
        answer=answer,
        choices=choices,
        all_of=all_of,
        synonyms=meta.get("synonyms") or {},
        score=score,
        references=references,
        box=read_box(meta, where=name) if score == "box" else None,
    )


def is_right(text: str, expected: Expected) -> bool:
    """Score one answer.

    An ordered answer must name exactly `all_of`, in order. A yes/no question is decided by the
    first word, or by the first word of the verdict. Where choices compete, exactly one of them may
    be named, and a longer phrase hides the shorter ones inside it ("walking upstairs" is not
    "walking"); a verdict that names any is taken alone. The verdict is what follows the last colon
    ("The hand shows three and the voice says seven: the spoken digit is larger."). An open question
    needs the answer, or each of `all_of`, somewhere in the text. What is to be avoided may be
    nowhere in it.

    Args:
        text: The generated answer.
        expected: What it has to say.

    Returns:
        Whether the answer is right.
    """
    if expected.box is not None:
        return expected.box.is_met_by(text)
    if expected.score != "choice":
        phrases = expected.all_of or (expected.answer,)
        named = set(find_phrases(text, _phrases(phrases, expected.synonyms)))
        is_avoided = bool(words(text)) and not named
        return named == set(phrases) if expected.score == "contains" else is_avoided
    if expected.all_of:
        return tuple(_named(text, expected)) == expected.all_of
    return named_choice(text, expected) == expected.answer


def named_choice(text: str, expected: Expected) -> str:
    """The one of competing choices that a text names, as `is_right` reads it.

    Args:
        text: The generated answer.
        expected: With choices of which one is right.

    Returns:
        The choice; `NONE` or `SEVERAL` where the text does not name just one.
    """
    _, _, verdict = text.rpartition(":")
    if set(expected.choices) == YES_NO:
        begins = [word for part in (text, verdict) for word in words(part)[:1]]
        return next((word for word in begins if word in YES_NO), NONE)
    named = set(_named(verdict, expected) or _named(text, expected))
    return named.pop() if len(named) == 1 else SEVERAL if named else NONE


def words(text: str) -> list[str]:
    """The lower-case words of a text, without punctuation."""
    return _NOT_WORD.sub(" ", text.lower()).split()


def find_phrases(text: str, phrases: Iterable[tuple[str, str]]) -> list[str]:
    """Find whole phrases in a text, longest first, without overlaps.

    Args:
        text: Where to look.
        phrases: Pairs of a phrase and the label that it stands for.

    Returns:
        The labels in the order of their appearance, repeats kept.
    """
    tokens = words(text)
    spans = [
        (start, start + len(phrase), label)
        for phrase, label in ((words(phrase), label) for phrase, label in phrases)
        for start in range(len(tokens) - len(phrase) + 1)
        if phrase and tokens[start : start + len(phrase)] == phrase
    ]
    kept: list[tuple[int, int, str]] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0] - span[1], span)):
        if all(end <= other_start or start >= other_end for other_start, other_end, _ in kept):
            kept.append((start, end, label))
    return [label for _, _, label in sorted(kept)]


def _named(text: str, expected: Expected) -> list[str]:
    """The choices that a text names, in order."""
    return find_phrases(text, _phrases(expected.choices, expected.synonyms))


def _phrases(
    choices: Sequence[str], synonyms: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    """Every way to name a choice, paired with the choice."""
    return [(name, choice) for choice in choices for name in (choice, *synonyms.get(choice, ()))]
