"""Golden values of pycocoevalcap 1.2 and of the official VQA evaluation; see their `made_with`."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from anymal.evaluation.metrics.base import Answer, Judged, Metric
from anymal.evaluation.scoring import Expected

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def captions() -> Any:
    return json.loads((GOLDEN / "captions.json").read_text())


@pytest.fixture(scope="session")
def vqa_cases() -> Any:
    return json.loads((GOLDEN / "vqa.json").read_text())["cases"]


def expect(*references: str, answer: str = "", choices: tuple[str, ...] = ()) -> Expected:
    return Expected(task="t", answer=answer, choices=choices, synonyms={}, references=references)


@pytest.fixture
def judge() -> Callable[[Metric, Sequence[str], Sequence[Sequence[str]]], Judged]:
    """Judge texts by references."""

    def judged(metric: Metric, texts: Sequence[str], references: Sequence[Sequence[str]]) -> Judged:
        answers = [Answer(text=text) for text in texts]
        return metric.judge(answers, [expect(*one) for one in references])

    return judged
