import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.evaluation.intervals import paired_difference, share_of, wilson


@pytest.mark.parametrize(
    # Newcombe (1998), table I, method 3.
    ("correct", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_agrees_with_newcombe(correct: int, n: int, low: float, high: float) -> None:
    share = wilson(correct, n)
    assert share.accuracy == correct / n
    assert (share.low, share.high) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson_holds_the_share(correct: int, wrong: int) -> None:
    share = wilson(correct, correct + wrong)
    assert 0 <= share.low <= share.accuracy <= share.high <= 1


def test_nothing_measured_says_nothing() -> None:
    share = share_of([])
    assert (share.low, share.high, share.n) == (0, 1, 0)


def test_paired_difference_finds_a_clear_gain() -> None:
    difference = paired_difference([True] * 90 + [False] * 10, [True] * 50 + [False] * 50)
    assert difference.mean == pytest.approx(0.4)
    assert 0.25 < difference.low < 0.4 < difference.high < 0.55


def test_paired_difference_of_equal_verdicts_is_nothing() -> None:
    verdicts = [True, False, True]
    difference = paired_difference(verdicts, verdicts)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
