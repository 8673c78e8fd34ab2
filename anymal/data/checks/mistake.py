"""What a check finds: the kind of a mistake, the reason, and what to change.

Does not look for mistakes.
"""

from dataclasses import dataclass

from anymal.errors import (
    AnymalError,
    MediaCorrupt,
    MediaEmpty,
    MediaError,
    MediaForbidden,
    MediaNotFound,
    MediaTooLarge,
    MediaUnsupported,
)

KINDS = {
    "unreadable": "bad JSON, another shape than the format's, or fewer or more media than "
    "placeholders",
    "not_a_list": "a string where a list belongs",
    "no_messages": "a row without messages",
    "shape": "messages or parts of another shape than the REST API's",
    "role": "an unknown role",
    "same_role": "two turns of one role, one after the other",
    "no_answer": "no turn of the assistant, so nothing to learn; or no text where an answer "
    "belongs",
    "blank_answer": "an answer without words",
    "no_question": "answers to compare whose messages do not end with a question of the user",
    "same_answers": "a chosen and a rejected answer that are the same words",
    "completions": "completions of another shape than a list of {text, score, ratings}",
    "no_number": "a number of meta that a stage weighs pairs by, and that is not there",
    "unknown_key": "a key that a record does not have",
    "placeholder": "<image> and the like, left as words in a question or an answer",
    "medium_in_answer": "a medium inside an answer",
    "missing": "no such file, or one that cannot be read",
    "outside": "a path outside the media folder, or a remote URL",
    "empty": "a file without bytes, frames or samples",
    "unsupported": "a file that is not of a kind that its place takes",
    "broken": "a file that is damaged or cut short, or motion with NaN, gaps, or time that runs "
    "backward",
    "too_large": "more bytes, pixels, frames or seconds than the limits",
    "misnamed": "a file whose content is not what its name says",
    "blank": "a medium that is all black, all silent or without any motion",
    "units": "motion whose values look like g or degrees where SI is declared or assumed",
    "unfit": "a row that the recipe's model does not take",
    "too_long": "more tokens than max_tokens",
    "nothing_learnt": "so many tokens that nothing would be left to learn after a cut",
    "row_twice": "a row that repeats an earlier one",
    "id_twice": "an id that an earlier row has",
    "two_answers": "the same media and the same question as another row, and another answer",
    "licence": "a data set without a licence",
}
"""Every kind of mistake, and what it means."""

_OF_MEDIA: dict[type[MediaError], str] = {
    MediaNotFound: "missing",
    MediaForbidden: "outside",
    MediaEmpty: "empty",
    MediaUnsupported: "unsupported",
    MediaCorrupt: "broken",
    MediaTooLarge: "too_large",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake.

    Attributes:
        kind: A key of `KINDS`.
        reason: What was found, and where in the row.
        change: What to do about it.
    """

    kind: str
    reason: str
    change: str

    def __post_init__(self) -> None:
        """Refuses a kind that is not in the table."""
        assert self.kind in KINDS, self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A mistake and its place.

    Attributes:
        where: Names file and row, as `train.jsonl:17`; the file alone where no row is at fault.
        mistake: What is wrong there.
    """

    where: str
    mistake: Mistake


def mistake_of(error: AnymalError, kind: str, *, change: str, where: str = "") -> Mistake:
    """Make a mistake of an error.

    Args:
        error: Its message says what was given, then, behind a semicolon, what to do.
        kind: What it is, unless the error of a medium tells that.
        change: What to do where the message does not say it.
        where: The place that the message may begin with, which is left out.

    Returns:
        The mistake.
    """
    if isinstance(error, MediaError):
        return Mistake(
            kind=_OF_MEDIA.get(type(error), kind),
            reason=f"{error.source}: {error.found}",
            change=f"accepted: {error.accepted}",
        )
    reason, _, advice = str(error).removeprefix(f"{where}: ").partition("; ")
    return Mistake(kind=kind, reason=reason, change=advice or change)
