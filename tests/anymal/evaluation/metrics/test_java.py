"""What Java adds, where it and the extra `metrics` are installed, and what is said where not."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.metrics.java import has_spice, java_metrics

needs_java = pytest.mark.skipif(
    find_spec("pycocoevalcap") is None or shutil.which("java") is None,
    reason="the extra 'metrics' or Java is not installed",
)


@pytest.mark.slow
@needs_java
def test_stanfords_tokens_and_meteor_give_the_golden_values(captions: Any, judge: Any) -> None:
    metrics = {metric.name.partition(" ")[0]: metric for metric in java_metrics()}
    texts = [item["candidate"] for item in captions["items"]]
    references = [item["references"] for item in captions["items"]]
    for title, key in (("CIDEr-D", "cider_d"), ("BLEU-4", "bleu_4"), ("METEOR", "meteor")):
        assert metrics[title].name.endswith("(Stanford's tokens)")
        judged = judge(metrics[title], texts, references)
        assert judged.figure == pytest.approx(captions["corpus"][key], abs=1e-6)
        each = np.array([values[key] for values in captions["each"]])
        assert judged.values == pytest.approx(each, abs=1e-6)


def test_spice_is_offered_only_where_its_models_lie(tmp_path: Path) -> None:
    assert not has_spice(tmp_path)
    (tmp_path / "spice" / "lib").mkdir(parents=True)
    for kind in ("", "-models"):
        assert not has_spice(tmp_path)
        (tmp_path / "spice" / "lib" / f"stanford-corenlp-3.6.0{kind}.jar").touch()
    assert has_spice(tmp_path)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anymal.evaluation.metrics.stanford.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'anymal\[metrics\]'"):
        java_metrics()
