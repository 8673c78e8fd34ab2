"""Mistakes in answers that are compared: missing, blank or equal ones, scores that are no numbers.

What is wrong with a question and one of its answers is found by `turns`. Does not read media.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from anymal.data.checks.mistake import Mistake
from anymal.data.compared import COMPLETIONS, PAIR, answers_of

_KEYS = ("text", "score", "ratings")


def answer_mistakes(record: Mapping[str, Any], numbers: Collection[str] = ()) -> Iterator[Mistake]:
    """Find what is wrong with the answers of a record, and with what stands beside them.

    Args:
        record: With `chosen` and `rejected`, or with `completions`.
        numbers: Keys of `meta` that a stage weighs pairs by.

    Yields:
        The mistakes.
    """
    if not any(name in record for name in PAIR):
        yield from _completion_mistakes(record[COMPLETIONS])
    answers = answers_of(record)
    for place, answer in answers.items():
        if isinstance(answer, str) and not answer.strip():
            yield Mistake(
                kind="blank_answer",
                reason=f"{place} is an answer without words",
                change="write the answer, or remove the row",
            )
        elif not isinstance(answer, str):
            yield Mistake(
                kind="no_answer",
                reason=f"{place} should be the text of an answer, and "
                + ("is missing" if answer is None else f"is {answer!r:.80}"),
                change=f"give {' and '.join(PAIR)} as words, or completions with a text each",
            )
    if set(answers) == set(PAIR):
        yield from _pair_mistakes(record, answers, numbers)
    messages = record.get("messages")
    if messages and isinstance(messages, list) and not ends_with_question(messages):
        yield Mistake(
            kind="no_question",
            reason="the last of messages is not the user's",
            change="end messages with the question; the answers to it stand beside them",
        )


def ends_with_question(messages: list[Any]) -> bool:
    """Whether answers may follow."""
    return isinstance(messages[-1], Mapping) and messages[-1].get("role") == "user"


def _pair_mistakes(
    record: Mapping[str, Any], answers: Mapping[str, Any], numbers: Collection[str]
) -> Iterator[Mistake]:
    """Answers that are alike, and numbers that are not there."""
    chosen, rejected = answers.values()
    if isinstance(chosen, str) and chosen == rejected:
        yield Mistake(
            kind="same_answers",
            reason=f"{' and '.join(PAIR)} are the same words, so there is no preference to learn",
            change="remove the row",
        )
    meta = record.get("meta")
    for name in numbers:
        value = meta.get(name) if isinstance(meta, Mapping) else None
        if not _is_number(value):
            yield Mistake(
                kind="no_number",
                reason=f"a stage weighs pairs by {name}, and meta.{name} is {value!r:.80}",
                change="write a number there, or use terms that do not name it",
            )


def _completion_mistakes(given: Any) -> Iterator[Mistake]:
    """Completions of another shape, or with scores that are no numbers."""
    if not isinstance(given, list) or not given:
        yield _shape(f"{COMPLETIONS} is {given!r:.80}")
        return
    for number, one in enumerate(given):
        place = f"{COMPLETIONS}.{number}"
        if not isinstance(one, Mapping):
            yield _shape(f"{place} is {one!r:.80}")
            continue
        if unknown := [name for name in one if name not in _KEYS]:
            yield _shape(f"{place} has {', '.join(map(repr, unknown)):.200}")
        score, ratings = one.get("score"), one.get("ratings", {})
        if score is not None and not _is_number(score):
            yield _shape(f"{place}.score is {score!r:.80}")
        if not isinstance(ratings, Mapping) or not all(
            value is None or _is_number(value) for value in ratings.values()
        ):
            yield _shape(f"{place}.ratings is {ratings!r:.80}")


def _shape(reason: str) -> Mistake:
    return Mistake(
        kind="completions",
        reason=reason,
        change="a completion is an object with text, and perhaps score, a number, and ratings, "
        "numbers by aspect",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
