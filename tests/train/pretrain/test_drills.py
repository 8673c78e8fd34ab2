import re

import numpy as np
import pytest

from anymal.playground.topics import PREFIXES
from train.pretrain.drills import draw_drill, drill_words

WORDS = tuple(f"word{number}" for number in range(60))


def draw(seed: int) -> tuple[str, list[tuple[str, str]]]:
    """What one drill shows, and its exercises with their solutions."""
    messages = draw_drill(WORDS, np.random.default_rng(seed))["messages"]
    shown, first = messages[0]["content"].split("\n")
    prefix, _, listed = shown.partition(" ")
    assert prefix in PREFIXES.values()
    orders = [first, *(message["content"] for message in messages[2::2])]
    solutions = [message["content"] for message in messages[1::2]]
    return listed, list(zip(orders, solutions, strict=True))


DRILLS = [draw(seed) for seed in range(400)]
MAPS = [(shown, exercises) for shown, exercises in DRILLS if " at the " in shown]
LISTS = [(shown.split(), exercises) for shown, exercises in DRILLS if " at the " not in shown]


def test_solutions_about_lists_are_right() -> None:
    for listed, exercises in LISTS:
        for order, solution in exercises:
            match order.split():
                case ["repeat"]:
                    assert solution.split() == listed
                case ["after", word]:
                    assert listed[listed.index(word) + 1] == solution
                case ["before", word]:
                    assert listed[listed.index(word) - 1] == solution
                case ["first" | "last" as which]:
                    assert solution == listed[0 if which == "first" else -1]
                case ["has", word]:
                    assert solution == ("yes" if word in listed else "no")
                case _:
                    pytest.fail(order)


def test_solutions_about_maps_are_right() -> None:
    for shown, exercises in MAPS:
        places = dict(thing.split(" at the ") for thing in shown.split(", "))
        assert len(set(places.values())) == len(places)
        for order, solution in exercises:
            if order.startswith("where "):
                assert solution == places[order.removeprefix("where ")]
            elif asked := re.fullmatch(r"is (.+?) (left of|right of|above|below) (.+)", order):
                one, relation, other = asked.groups()
                holds = lies(places.get(one, one), relation, places.get(other, other))
                assert solution == ("yes" if holds else "no"), (shown, order)
            else:
                choice, _, both = order.partition(": ")
                one, other = both.split(" to ")
                assert solution in choice.split(" or ")
                assert lies(places.get(one, one), solution, places.get(other, other))


def lies(one: str, relation: str, other: str) -> bool:
    """Whether one named place has the relation to another."""
    horizontal = relation in ("left of", "right of")
    low, high = ("left", "right") if horizontal else ("top", "bottom")
    first, second = ((high in place.split()) - (low in place.split()) for place in (one, other))
    return first < second if relation in ("left of", "above") else first > second


def test_drills_are_lists_tables_and_maps() -> None:
    assert 0.3 < len(MAPS) / len(DRILLS) < 0.5
    tables = [words for words, _ in LISTS if len(set(words)) < len(words)]
    assert 0.12 < len(tables) / len(DRILLS) < 0.3
    for words in tables:
        widths = [w for w in range(4, 10) if is_table(words, w)]
        assert widths, words


def is_table(words: list[str], width: int) -> bool:
    """Whether rows of this width share a column's word, and differ in another column."""
    if len(words) % width:
        return False
    sizes = [len(set(words[column::width])) for column in range(width)]
    rows = len(words) // width
    return rows > 1 and max(sizes) == rows and sum(sizes) == len(set(words))


def test_yes_and_no_are_about_equally_often_right() -> None:
    for drills, first in ((LISTS, "has "), (MAPS, "is ")):
        asked = [exercise for _, exercises in drills for exercise in exercises]
        answers = [solution == "yes" for order, solution in asked if order.startswith(first)]
        assert 0.4 < np.mean(answers) < 0.6


def test_words_are_those_spelt_in_one_token() -> None:
    space = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
    tokens = [f"{space}red", f"{space}blue", "red", f"{space}a", f"{space}x1", "</s>", space]
    tokens.append(f"{space}top{space}left")
    assert drill_words(tokens) == ("blue", "red")
