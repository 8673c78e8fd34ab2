"""What pycocoevalcap brings in Java: Stanford's tokens, METEOR, and SPICE where its models lie.

The extra `metrics` installs it. Nothing is downloaded: SPICE's models have to be on disk.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anymal.evaluation.metrics.base import Judged, Metric, Picks, Values
from anymal.evaluation.metrics.captions import Compute, Words, caption_metrics
from anymal.evaluation.metrics.cider import judge_cider_d
from anymal.evaluation.metrics.stanford import (
    STANFORD_TOKENS,
    StanfordTokens,
    find_pycocoevalcap,
)

_SPICE_MODELS = (
    "spice/lib/stanford-corenlp-3.6.0.jar",
    "spice/lib/stanford-corenlp-3.6.0-models.jar",
)


def java_metrics(answer_key: str | None = None) -> tuple[Metric, ...]:
    """The caption metrics on Stanford's tokens, with METEOR, and SPICE and SPIDEr if they can run.

    Args:
        answer_key: See `CaptionMetric`.

    Raises:
        DataError: There is no Java, or no pycocoevalcap.
    """
    package = find_pycocoevalcap()
    more: dict[str, Compute] = {"METEOR": judge_meteor}
    if has_spice(package):
        more |= {"SPICE": judge_spice, "SPIDEr": judge_spider}
    tokenise = StanfordTokens(package)
    return caption_metrics(tokenise, STANFORD_TOKENS, answer_key=answer_key, more=more)


def has_spice(package: Path) -> bool:
    """Whether SPICE's models lie where pycocoevalcap would otherwise download them to."""
    return all((package / name).is_file() for name in _SPICE_MODELS)


def judge_meteor(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> Judged:
    """METEOR 1.5 (Denkowski and Lavie 2014), by its own program.

    The corpus's is not the mean of the captions' and only the program computes it. Over some of
    the captions, it is taken to differ from that of all as the means do.
    """
    from pycocoevalcap.meteor.meteor import Meteor

    meteor = Meteor()
    try:
        corpus, values = meteor.compute_score(*_as_coco(candidates, references))
    finally:  # it leaves its pipes open
        meteor.meteor_p.kill()
        meteor.meteor_p.communicate()
    return _around(float(corpus), np.array(values, dtype=np.float64))


def judge_spice(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> Judged:
    """SPICE (Anderson et al. 2016), by its own program; the corpus's is the mean."""
    from pycocoevalcap.spice.spice import Spice

    references_of, captions = _as_coco(candidates, references)
    _, scores = Spice().compute_score(references_of, captions)
    return Judged(values=np.array([one["All"]["f"] for one in scores], dtype=np.float64))


def judge_spider(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> Judged:
    """SPIDEr (Liu et al. 2017): the mean of CIDEr-D and SPICE."""
    cider_d, spice = judge_cider_d(candidates, references), judge_spice(candidates, references)
    return Judged(
        values=(cider_d.values + spice.values) / 2, highest=(cider_d.highest + spice.highest) / 2
    )


def _around(corpus: float, values: Values) -> Judged:
    mean = values.mean()

    def total(picks: Picks) -> float:
        return float(corpus + values[picks].mean() - mean)

    return Judged(values=values, total=total)


def _as_coco(
    candidates: Sequence[Words], references: Sequence[Sequence[Words]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and captions as pycocoevalcap takes them."""
    return (
        {n: [" ".join(words) for words in captions] for n, captions in enumerate(references)},
        {n: [" ".join(words)] for n, words in enumerate(candidates)},
    )
