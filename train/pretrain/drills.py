"""Drills: lists of random words to repeat, to look things up in and to search.

Finding a word again, and what stands beside it, is most of what answering about a description
takes. Words drawn at random leave nothing to guess by, where a colour of the world is one of six.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from train.pretrain.world import PREFIXES, SUFFIX

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
_LENGTHS = (3, 16)
_LINES = (4, 14)


def drill_words(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The words that drills are made of: those that the tokeniser spells in one token.

    Args:
        vocabulary: Tokens of a byte-level BPE, in which a space is written as U+0120.
    """
    spelt = (token[1:] for token in vocabulary if token.startswith(_SPACE))
    return tuple(sorted(word for word in spelt if word.isalpha() and len(word) > 1))


def draw_drill(words: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    """One list and several lines about it, as a conversation of one turn."""
    length = int(rng.integers(*_LENGTHS))
    drawn = [words[i] for i in rng.choice(len(words), 2 * length, replace=False)]
    there, elsewhere = drawn[:length], drawn[length:]
    prefix = str(rng.choice(list(PREFIXES.values())))
    lines = [_line(there, elsewhere, rng) for _ in range(int(rng.integers(*_LINES)))]
    return {
        "messages": [
            {"role": "user", "content": f"{prefix} {' '.join(there)}{SUFFIX}"},
            {"role": "assistant", "content": f"{'; '.join(lines)}."},
        ]
    }


def _line(there: list[str], elsewhere: list[str], rng: np.random.Generator) -> str:
    """One exercise with its solution; the index is never that of the last word."""
    index = int(rng.integers(len(there) - 1))
    kind = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    if kind == "repeat":
        return f"repeat: {' '.join(there)}"
    if kind == "after":
        return f"after {there[index]}: {there[index + 1]}"
    if kind == "has":
        return f"has {there[index]}: yes" if rng.random() < 0.5 else f"has {elsewhere[index]}: no"
    if kind == "same":
        word, answer = (there[index], "yes") if rng.random() < 0.5 else (there[-1], "no")
        return f"same {there[index]} {word}: {answer}"
    return f"first: {there[0]}" if kind == "first" else f"last: {there[-1]}"


_SHARES = {"repeat": 0.2, "after": 0.25, "first": 0.05, "last": 0.05, "has": 0.25, "same": 0.2}
