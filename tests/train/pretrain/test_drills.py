import numpy as np
import pytest

from train.pretrain.drills import draw_drill, drill_words
from train.pretrain.world import PREFIXES

WORDS = tuple(f"word{number}" for number in range(60))


def read(seed: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The list of one drill, and its exercises with their solutions."""
    messages = draw_drill(WORDS, np.random.default_rng(seed))["messages"]
    shown, first = messages[0]["content"].split("\n")
    prefix, _, listed = shown.partition(" ")
    assert prefix in PREFIXES.values()
    orders = [first, *(message["content"] for message in messages[2::2])]
    solutions = [message["content"] for message in messages[1::2]]
    return listed.split(), list(zip(orders, solutions, strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_solutions_are_right(seed: int) -> None:
    listed, exercises = read(seed)
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


def test_some_drills_are_tables_whose_rows_share_words() -> None:
    shown = [read(seed)[0] for seed in range(200)]
    tables = [words for words in shown if len(set(words)) < len(words)]
    assert 0.2 < len(tables) / len(shown) < 0.4
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
    exercises = [exercise for seed in range(200) for exercise in read(seed)[1]]
    answers = [solution == "yes" for order, solution in exercises if order.startswith("has")]
    assert 0.42 < np.mean(answers) < 0.58


def test_words_are_those_spelt_in_one_token() -> None:
    space = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
    tokens = [f"{space}red", f"{space}blue", "red", f"{space}a", f"{space}x1", "</s>", space]
    tokens.append(f"{space}top{space}left")
    assert drill_words(tokens) == ("blue", "red")
