"""Rules, with the counts of the publications."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymal.data.compared import Completion
from anymal.data.preferences.rules import (
    RULES,
    best_worst,
    keeps_length,
    least_ratio,
    rejected_statements,
    threshold,
    unequal,
    unequal_means,
)


def test_silkie_four_means_make_five_pairs() -> None:
    ratings: list[dict[str, float | None]] = [
        {"helpful": 5, "faithful": 3},
        {"helpful": 3, "faithful": 5},
        {"helpful": 3, "faithful": 3},
        {"helpful": 1, "faithful": 3},
    ]
    assert unequal_means(ratings) == [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    ratings[3] = {"helpful": 1, "faithful": None}
    assert unequal_means([*ratings, {}]) == [(0, 2), (1, 2)]


def test_hound_compares_with_a_threshold() -> None:
    assert threshold([5, 2, 3, None, 1]) == [(0, 1), (0, 4), (2, 1), (2, 4)]
    assert threshold([5, 4, 3]) == []
    assert threshold([1, 0], least=1) == [(0, 1)]


def test_bpo_three_scores_make_two_pairs() -> None:
    assert unequal([2, 1, 1]) == [(0, 1), (0, 2)]
    assert unequal([1, None, 2]) == [(2, 0)]


def test_rlaif_v_counts_rejected_statements() -> None:
    labels = [[True, True, False], [True, False, False], [True, True, True]]
    assert rejected_statements(labels) == [(0, 1), (2, 0), (2, 1)]


def test_the_best_is_put_against_the_worst() -> None:
    assert best_worst([2, 3, None, 1, 3, 1]) == [(1, 3)]
    assert best_worst([2, 2]) == []
    assert best_worst([None]) == []


def test_the_ratio_makes_both_kinds_equally_long() -> None:
    # The gaps are -8, -1 and +1: without the first pair they are 0 on average.
    lengths = [(2, 10), (9, 10), (11, 10)]
    ratio = least_ratio(lengths)
    assert ratio == 0.22
    assert [keeps_length(*pair, ratio) for pair in lengths] == [False, True, True]
    assert least_ratio([(10, 10)]) == 0
    with pytest.raises(ValueError, match="no pairs"):
        least_ratio([])


@given(st.lists(st.none() | st.integers(0, 5), max_size=7))
def test_the_chosen_answer_is_always_the_better_one(scores: list[float | None]) -> None:
    for rule in (unequal, threshold, best_worst):
        for chosen, rejected in rule(scores):
            one, other = scores[chosen], scores[rejected]
            assert one is not None
            assert other is not None
            assert one > other


def test_rules_by_name_take_completions() -> None:
    rated = [Completion(text=name, ratings={"a": float(name == "x"), "b": 1.0}) for name in "xy"]
    assert RULES["unequal_means"](rated) == [(0, 1)]
    assert RULES["rejected_statements"](rated) == [(0, 1)]
    scored = [Completion(text="x", score=1.0), Completion(text="y", score=4.0)]
    for name in ("unequal", "threshold", "best_worst"):
        assert RULES[name](scored) == [(1, 0)]
