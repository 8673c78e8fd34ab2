import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.evaluation.intervals import (
    difference_of,
    figure_of,
    paired_difference,
    share_of,
    wilson,
)
from anymal.evaluation.metrics.base import Judged


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


def judged(*values: float) -> Judged:
    return Judged(values=np.array(values, dtype=np.float64))


def test_questions_with_a_medium_each_get_wilsons_interval() -> None:
    verdicts = [1.0] * 7 + [0.0] * 3
    media = [str(index) for index in range(10)]
    assert figure_of(judged(*verdicts), media) == wilson(7, 10)
    assert figure_of(judged(*verdicts), media, [0, 7]) == wilson(1, 2)


def test_copies_of_a_question_are_no_evidence() -> None:
    # Ten pictures of which seven are understood, each asked about ten times: as wide as ten.
    values = [float(picture < 7) for picture in range(10) for _ in range(10)]
    media = [str(picture) for picture in range(10) for _ in range(10)]
    share = figure_of(judged(*values), media)
    assert (share.correct, share.n, share.accuracy) == (70, 100, 0.7)
    # The middle 95% of a binomial of 10 draws at 0.7: from 4 right ones to 9 or 10.
    assert share.low == pytest.approx(0.4)
    assert share.high >= 0.9 - 1e-9


def test_interval_of_media_agrees_with_the_sandwich_formula() -> None:
    random = np.random.default_rng(3)
    sizes = random.integers(1, 6, size=200)
    chances = random.beta(0.5, 0.5, size=200)
    groups = [random.random(size) < chance for size, chance in zip(sizes, chances, strict=True)]
    values = np.concatenate(groups).astype(float)
    media = [str(index) for index, group in enumerate(groups) for _ in group]
    share = figure_of(judged(*values), media)
    # Miller, arXiv 2411.00640, equation 4: deviations are summed in a cluster, then squared.
    sums = [float((group - values.mean()).sum()) for group in groups]
    error = np.sqrt(np.square(sums).sum()) / len(values)
    assert share.high - share.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    unclustered = np.sqrt(values.var() / len(values))
    assert error > 1.3 * unclustered


def test_equal_values_about_few_media_are_as_sure_as_the_media_are_many() -> None:
    share = figure_of(judged(*[1.0] * 30), [str(index // 10) for index in range(30)])
    assert (share.n, share.low, share.high) == (30, wilson(3, 3).low, 1)


@pytest.mark.parametrize("num_media", [1, 4])
def test_no_spread_between_media_is_no_certainty(num_media: int) -> None:
    # Of each medium, half of the answers are right: resampling media always gives one half.
    values = [1.0, 0.0] * num_media
    share = figure_of(judged(*values), [str(index // 2) for index in range(2 * num_media)])
    assert share.accuracy == 0.5
    if num_media == 4:
        assert (share.low, share.high) == pytest.approx((wilson(2, 4).low, wilson(2, 4).high))
    assert share.low < 0.2
    assert share.high > 0.8


def test_one_value_between_right_and_wrong_is_no_certainty() -> None:
    share = figure_of(judged(0.3), ["a"])
    assert share.accuracy == 0.3
    assert share.low < 0.1
    assert share.high > 0.8


def test_scale_is_the_metrics_and_not_that_of_its_values() -> None:
    poor = Judged(values=np.array([0.3]), highest=10.0)
    of_ten, of_one = figure_of(poor, ["a"]), figure_of(judged(0.03), ["a"])
    assert (of_ten.accuracy, of_ten.low) == pytest.approx((0.3, 10 * of_one.low))
    assert of_ten.high == pytest.approx(10 * of_one.high)
    # Of 20 captions like none of their references, as of 20 wrong answers: up to 16%, of 10.
    nothing = Judged(values=np.zeros(20), highest=10.0)
    media = [str(index) for index in range(20)]
    assert figure_of(nothing, media).high == pytest.approx(10 * wilson(0, 20).high)
    gain = difference_of(poor, Judged(values=np.array([0.1]), highest=10.0), ["a"])
    assert gain.mean == pytest.approx(0.2)
    assert gain.low < -5 < 5 < gain.high


def test_a_metric_that_goes_beyond_one_says_how_far() -> None:
    with pytest.raises(AssertionError, match="has to say how far"):
        judged(0.5, 1.5)


def test_gain_of_a_single_question_proves_nothing() -> None:
    gain = paired_difference([True], [False])
    # Wilson's interval of 1 in 1 is 1 / (1 + 1.96^2) to 1; stretched, it begins below 0.
    assert (gain.mean, gain.high) == (1, 1)
    assert gain.low == pytest.approx(2 / (1 + 1.959964**2) - 1)


def test_values_between_right_and_wrong_are_resampled() -> None:
    share = figure_of(judged(*[0.3, 0.6, 0.9] * 40), [str(index) for index in range(120)])
    assert share.accuracy == pytest.approx(0.6)
    half = 1.96 * np.sqrt(0.06 / 120)  # variance of 0.3, 0.6 and 0.9
    assert (share.low, share.high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.01)


def test_figure_that_is_no_mean_is_computed_again_for_each_resample() -> None:
    values = np.arange(1.0, 51.0)
    largest = Judged(values=values, total=lambda picks: float(values[picks].max()))
    share = figure_of(largest, [str(index) for index in range(50)])
    assert (share.accuracy, share.high) == (50, 50)
    assert 45 < share.low < 50
    gain = difference_of(largest, largest, [str(index) for index in range(50)])
    assert (gain.mean, gain.low, gain.high) == (0, 0, 0)


def test_nothing_picked_says_nothing() -> None:
    assert figure_of(judged(1.0), ["a"], []) == wilson(0, 0)
