import numpy as np
import pytest

from train.pretrain.drills import draw_drill, drill_words
from train.pretrain.world import PREFIXES

WORDS = tuple(f"word{number}" for number in range(60))


def read(seed: int) -> tuple[list[str], list[str]]:
    """The list and the lines of one drill."""
    asked, answered = draw_drill(WORDS, np.random.default_rng(seed))["messages"]
    prefix, _, listed = asked["content"].partition(" ")
    assert prefix in PREFIXES.values()
    return listed.split(), answered["content"].removesuffix(".").split("; ")


@pytest.mark.parametrize("seed", range(60))
def test_solutions_are_right(seed: int) -> None:
    listed, lines = read(seed)
    for line in lines:
        question, solution = line.split(": ")
        match question.split():
            case ["repeat"]:
                assert solution.split() == listed
            case ["after", word]:
                assert listed[listed.index(word) + 1] == solution
            case ["first" | "last" as which]:
                assert solution == listed[0 if which == "first" else -1]
            case ["has", word]:
                assert solution == ("yes" if word in listed else "no")
            case ["same", one, other]:
                assert solution == ("yes" if one == other else "no")
            case _:
                pytest.fail(line)


def test_yes_and_no_are_about_equally_often_right() -> None:
    lines = [line for seed in range(200) for line in read(seed)[1]]
    for kind in ("has", "same"):
        answers = [line.endswith("yes") for line in lines if line.startswith(kind)]
        assert 0.42 < np.mean(answers) < 0.58, kind


def test_words_are_those_spelt_in_one_token() -> None:
    space = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
    tokens = [f"{space}red", f"{space}blue", "red", f"{space}a", f"{space}x1", "</s>", space]
    assert drill_words(tokens) == ("blue", "red")
