import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.metrics.auc import Auc, auc
from anymal.evaluation.metrics.base import Answer
from anymal.evaluation.scoring import Expected


def expected(label: bool, choices: tuple[str, ...] = ("yes", "no")) -> Expected:
    return Expected(task="t", answer="yes" if label else "no", choices=choices, synonyms={})


def by_pairs(scores: np.ndarray, labels: np.ndarray) -> float:
    """Every pair of one positive and one negative, one by one."""
    pairs = [(high, low) for high in scores[labels] for low in scores[~labels]]
    return sum((high > low) + (high == low) / 2 for high, low in pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(5))
def test_auc_counts_pairs(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 9, 60).astype(np.float64)  # with ties
    labels = random.random(60) < 0.3
    assert auc(scores, labels) == pytest.approx(by_pairs(scores, labels))


def test_a_task_is_judged_by_log_odds() -> None:
    random = np.random.default_rng(0)
    odds, labels = random.normal(size=40), random.random(40) < 0.5
    # The same odds from another pair of likelihoods, and with the choices the other way round.
    answers = [Answer(text="", likelihoods=(one - 3, -3.0)) for one in odds[:20]]
    answers += [Answer(text="", likelihoods=(-9.0, one - 9)) for one in odds[20:]]
    wants = [expected(bool(label)) for label in labels[:20]]
    wants += [expected(bool(label), ("no", "yes")) for label in labels[20:]]
    judged = Auc().judge(answers, wants)
    assert judged.figure == pytest.approx(by_pairs(odds, labels))
    assert judged.values.mean() == pytest.approx(judged.figure)
    picks = random.integers(0, 40, 30)
    assert judged.over(picks) == pytest.approx(by_pairs(odds[picks], labels[picks]))
    assert judged.over(np.flatnonzero(labels)) == 0.5


def test_what_auc_needs_is_said() -> None:
    two = [expected(True), expected(False)]
    with pytest.raises(DataError, match="answer by likelihood"):
        Auc().judge([Answer(text="yes"), Answer(text="no")], two)
    scored = [Answer(text="", likelihoods=(-1.0, -2.0))] * 2
    with pytest.raises(DataError, match="all 2 are of one kind"):
        Auc().judge(scored, [expected(True), expected(True)])
    with pytest.raises(DataError, match="two choices"):
        Auc().judge(scored, [expected(True, ("yes", "no", "perhaps")), expected(False)])
