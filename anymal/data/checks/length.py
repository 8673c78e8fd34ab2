"""Rows of more tokens than the model takes, and those of which a cut would leave nothing to learn.

Does not tokenise: what knows the model does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from anymal.data.checks.mistake import Mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a row is, in the tokens of a model.

    Attributes:
        num_tokens: Positions, those of media included.
        first_learnt: Position of the first token that is learnt; None where none is.
        most: How many positions the model takes.
    """

    num_tokens: int
    first_learnt: int | None
    most: int


def length_mistakes(length: Length) -> Iterator[Mistake]:
    """Find what is wrong with the length of a row.

    Args:
        length: Its length.

    Yields:
        One mistake at most.
    """
    takes = f"takes {length.num_tokens:,} tokens; the model takes {length.most:,}"
    if length.first_learnt is None:
        yield Mistake(
            kind="nothing_learnt",
            reason="no token of the row is learnt",
            change="let at least one answer be learnt, or remove the row",
        )
    elif length.first_learnt >= length.most:
        yield Mistake(
            kind="nothing_learnt",
            reason=f"the row {takes}, and the first answer begins at {length.first_learnt:,}, so a "
            "cut would leave nothing to learn",
            change="shorten what stands before the answer, or raise llm.max_tokens",
        )
    elif length.num_tokens > length.most:
        yield Mistake(
            kind="too_long",
            reason=f"the row {takes}",
            change="shorten it, use fewer media, or raise llm.max_tokens",
        )
