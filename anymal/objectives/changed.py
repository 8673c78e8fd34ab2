"""Which tokens differ between two answers, so that a loss can weigh them.

As RLHF-V does it (arXiv 2312.00849, and its released code). Knows no tokeniser and no tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

LEAST_MATCH = 3  # tokens; what is alike for fewer belongs to the change around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Whether each token of two answers is part of a change.

    Attributes:
        first: Of the one answer, token by token.
        second: Of the other.
    """

    first: tuple[bool, ...]
    second: tuple[bool, ...]


def changed_tokens(first: Sequence[int], second: Sequence[int]) -> Changed:
    """Compare two answers token by token.

    A change replaces some tokens by others; what only one of the two answers has is none.

    Args:
        first: Ids of the one answer.
        second: Ids of the other.

    Returns:
        Which tokens of each are part of a change.
    """
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    is_changed = [False] * len(first), [False] * len(second)
    ends = (0, 0)
    # The last block is empty, and stands at both ends.
    *matches, last = matcher.get_matching_blocks()
    for block in [*(match for match in matches if match.size >= LEAST_MATCH), last]:
        spans = range(ends[0], block.a), range(ends[1], block.b)
        if all(spans):
            for flags, span in zip(is_changed, spans, strict=True):
                for place in span:
                    flags[place] = True
        ends = block.a + block.size, block.b + block.size
    return Changed(first=tuple(is_changed[0]), second=tuple(is_changed[1]))


def weights_of(is_changed: Sequence[bool], *, changed: float, normalise: bool) -> list[float]:
    """How much the log-probability of each token counts.

    Args:
        is_changed: Token by token.
        changed: Weight of a changed token; of others it is 1.
        normalise: Whether weights are divided by their sum.

    Returns:
        One weight for each token.
    """
    weights = [changed if each else 1.0 for each in is_changed]
    total = sum(weights) if normalise else 1.0
    return [weight / total for weight in weights]
