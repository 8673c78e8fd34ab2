"""Drills: random words to repeat, to look things up in and to search.

Finding a word again, and what stands beside it, is most of what answering about a description
takes. Words drawn at random leave nothing to guess by, where a colour of the world is one of six.
Lists of different words teach to find; tables, whose rows share words as the parts of a description
do ("a small red star at the left, a small blue square at the top"), teach to know the place again
by several words before it. Maps teach how places lie to each other, first as such and then of
what is there: by itself, no passage about a scene takes these two steps apart.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from anymal.playground.scene_questions import relations_of
from anymal.playground.topics import PREFIXES, SUFFIX
from anymal.playground.words import PLACES

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
_LENGTHS = (3, 16)
_EXERCISES = (3, 10)
_TABLES, _MAPS = 0.2, 0.4  # shares of the drills
_THINGS = (2, 5)
_ROWS = (2, 5)
_COLUMNS = (4, 10)


def drill_words(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The words that drills are made of: those that the tokeniser spells in one token.

    Args:
        vocabulary: Tokens of a byte-level BPE, in which a space is written as U+0120.
    """
    spelt = (token[1:] for token in vocabulary if token.startswith(_SPACE))
    single = (word for word in spelt if _SPACE not in word)
    return tuple(sorted(word for word in single if word.isalpha() and len(word) > 1))


def draw_drill(words: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    """A list or a map and several exercises with it, or a table to repeat.

    All answers can be known.
    """
    prefix = str(rng.choice(list(PREFIXES.values())))
    kind = rng.random()
    if kind < _TABLES:
        table = " ".join(_draw_table(words, rng))
        return _to_conversation(f"{prefix} {table}{SUFFIX}", [("repeat", table)])
    if kind < _TABLES + _MAPS:
        shown, exercises = _draw_map(words, rng)
        return _to_conversation(f"{prefix} {shown}{SUFFIX}", exercises)
    length = int(rng.integers(*_LENGTHS))
    drawn = [words[i] for i in rng.choice(len(words), 2 * length, replace=False)]
    there, elsewhere = drawn[:length], drawn[length:]
    drawn_exercises = (
        _KINDS[i](there, elsewhere, rng)
        for i in rng.integers(len(_KINDS), size=int(rng.integers(*_EXERCISES)))
    )
    return _to_conversation(f"{prefix} {' '.join(there)}{SUFFIX}", drawn_exercises)


def _to_conversation(shown: str, exercises: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What is shown, before the first order; then orders and solutions in turn."""
    messages = []
    for order, solution in exercises:
        messages.append({"role": "user", "content": shown + order})
        messages.append({"role": "assistant", "content": solution})
        shown = ""
    return {"messages": messages}


def _draw_table(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Words of a few rows of equal length, row by row.

    A column is one word all the way down, or one of two, or other words in each row; at least one
    column is the latter.
    """
    rows, width = int(rng.integers(*_ROWS)), int(rng.integers(*_COLUMNS))
    alphabets = rng.choice([1, 2, rows], size=width)  # how many words a column is drawn from
    alphabets[rng.integers(width)] = rows
    drawn = iter(rng.choice(len(words), int(alphabets.sum()), replace=False))
    columns = []
    for size in alphabets:
        alphabet = [words[next(drawn)] for _ in range(size)]
        picks = range(rows) if size == rows else rng.integers(size, size=rows)
        columns.append([alphabet[i] for i in picks])
    return [word for row in zip(*columns, strict=True) for word in row]


def _draw_map(words: Sequence[str], rng: np.random.Generator) -> tuple[str, list[tuple[str, str]]]:
    """A few words at places, and exercises with them."""
    count = int(rng.integers(*_THINGS))
    names = [words[i] for i in rng.choice(len(words), count, replace=False)]
    places = [int(place) for place in rng.choice(len(PLACES), count, replace=False)]
    shown = ", ".join(f"{name} at the {PLACES[p]}" for name, p in zip(names, places, strict=True))
    num_exercises = int(rng.integers(*_EXERCISES))
    return shown, [_place_exercise(names, places, rng) for _ in range(num_exercises)]


def _place_exercise(
    names: list[str], places: list[int], rng: np.random.Generator
) -> tuple[str, str]:
    """Where a word is; or how it lies to another, or whether so, or the same of their places."""
    i, j = (int(k) for k in rng.choice(len(names), 2, replace=False))
    kind = rng.random()
    if kind < 0.2:
        return f"where {names[i]}", PLACES[places[i]]
    relations = relations_of(places[i], places[j])
    right, wrong = relations[int(rng.integers(len(relations)))]
    one, other = (
        (names[i], names[j]) if rng.random() < 0.5 else (PLACES[places[i]], PLACES[places[j]])
    )
    if kind < 0.6:
        return f"{' or '.join(sorted((right, wrong)))}: {one} to {other}", right
    asked, solution = (right, "yes") if rng.random() < 0.5 else (wrong, "no")
    return f"is {one} {asked} {other}", solution


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
