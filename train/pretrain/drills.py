"""Drills: lists of random words to repeat, to look things up in and to search.

Finding a word again, and what stands beside it, is most of what answering about a description
takes. Words drawn at random leave nothing to guess by, where a colour of the world is one of six.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from train.pretrain.world import PREFIXES, SUFFIX

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
_LENGTHS = (3, 16)
_EXERCISES = (3, 10)


def drill_words(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The words that drills are made of: those that the tokeniser spells in one token.

    Args:
        vocabulary: Tokens of a byte-level BPE, in which a space is written as U+0120.
    """
    spelt = (token[1:] for token in vocabulary if token.startswith(_SPACE))
    return tuple(sorted(word for word in spelt if word.isalpha() and len(word) > 1))


def draw_drill(words: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    """One list and several exercises with it, as a conversation; all answers can be known."""
    length = int(rng.integers(*_LENGTHS))
    drawn = [words[i] for i in rng.choice(len(words), 2 * length, replace=False)]
    there, elsewhere = drawn[:length], drawn[length:]
    prefix = str(rng.choice(list(PREFIXES.values())))
    asked = f"{prefix} {' '.join(there)}{SUFFIX}"
    messages = []
    for _ in range(int(rng.integers(*_EXERCISES))):
        exercise = _KINDS[int(rng.integers(len(_KINDS)))]
        order, solution = exercise(there, elsewhere, rng)
        messages.append({"role": "user", "content": asked + order})
        messages.append({"role": "assistant", "content": solution})
        asked = ""
    return {"messages": messages}


_Exercise = Callable[[list[str], list[str], np.random.Generator], tuple[str, str]]


def _repeat(there: list[str], _elsewhere: list[str], _rng: np.random.Generator) -> tuple[str, str]:
    return "repeat", " ".join(there)


def _beside(there: list[str], _elsewhere: list[str], rng: np.random.Generator) -> tuple[str, str]:
    """The word after another, or before it."""
    index = int(rng.integers(len(there) - 1))
    one, next_one = there[index], there[index + 1]
    return (f"after {one}", next_one) if rng.random() < 0.5 else (f"before {next_one}", one)


def _has(there: list[str], elsewhere: list[str], rng: np.random.Generator) -> tuple[str, str]:
    index = int(rng.integers(len(there)))
    if rng.random() < 0.5:
        return f"has {there[index]}", "yes"
    return f"has {elsewhere[index]}", "no"


def _end(there: list[str], _elsewhere: list[str], rng: np.random.Generator) -> tuple[str, str]:
    return ("first", there[0]) if rng.random() < 0.5 else ("last", there[-1])


_KINDS: tuple[_Exercise, ...] = (_repeat, _beside, _beside, _has, _end)
