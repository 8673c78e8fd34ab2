"""Two evaluations of the same questions, compared question by question.

Does not ask: it reads what `AnswerLog` wrote. Pairing takes out what both find hard, so that a
difference shows in far fewer questions than two separate intervals would need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from anymal.errors import DataError
from anymal.evaluation.answer_log import read_lines
from anymal.evaluation.intervals import Difference, Share, difference_of, figure_of
from anymal.evaluation.metrics.base import Judged
from anymal.evaluation.results import REPORT

Verdict = Literal["equal", "A is better", "B is better", "no difference shown"]


class Pair(BaseModel):
    """One task of both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    metric: str = Field(description="What is compared, the first metric of the task.")
    n: int = Field(description="Questions that both were asked.")
    only_one: int = Field(description="Questions that one of them was not asked.")
    a: Share = Field(description="Of the first, over these questions.")
    b: Share = Field(description="Of the second.")
    gain: Difference = Field(description="B minus A, paired; media are resampled.")
    better: int = Field(description="Questions that B answers better.")
    worse: int = Field(description="Questions that A answers better.")

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if not self.better and not self.worse:
            return "equal"
        if self.gain.low > 0:
            return "B is better"
        return "A is better" if self.gain.high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two evaluations have in common.

    Attributes:
        pairs: Tasks that both hold.
        left_out: Other tasks, with the reason.
    """

    pairs: Sequence[Pair]
    left_out: Mapping[str, str]


def compare(a: Path, b: Path) -> Comparison:
    """Compare two evaluations.

    Args:
        a: Answers (JSONL), figures (JSON) or the folder that `anymal eval --out` wrote; the answers
            are looked for beside figures.
        b: The same of another evaluation.

    Returns:
        A pair for each task.

    Raises:
        DataError: A file cannot be read, or they have no task in common.
    """
    ours, theirs = (_read_tasks(_answers_of(path)) for path in (a, b))
    pairs: list[Pair] = []
    left_out: dict[str, str] = {}
    for task in dict.fromkeys([*ours, *theirs]):
        reason = _why_not(task, ours, theirs)
        if reason is None:
            pairs.append(_pair(task, ours[task], theirs[task]))
        else:
            left_out[task] = reason
    if not pairs:
        reasons = "; ".join(f"{task}: {reason}" for task, reason in left_out.items())
        raise DataError(f"{a} and {b} have nothing to compare ({reasons})")
    return Comparison(pairs=pairs, left_out=left_out)


def _answers_of(path: Path) -> Path:
    """The file of answers that a user means."""
    if path.is_dir():
        answers = (path / REPORT).with_suffix(".jsonl")
        if answers.is_file():
            return answers
        raise DataError(
            f"{path} is a folder without {answers.name}; name what `anymal eval --out` wrote, or "
            "compare two bundles with `anymal eval A --compare B`"
        )
    return path.with_suffix(".jsonl") if path.suffix == ".json" else path


def _read_tasks(path: Path) -> dict[str, Mapping[str, Any]]:
    """The values of each task, the last ones where it was evaluated again."""
    lines = read_lines(path)
    tasks = {line["task"]: line for line in lines if "values" in line}
    begun = {line["task"]: line for line in lines if "values" not in line}
    return begun | tasks


def _why_not(task: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Why a task cannot be compared; None if it can."""
    for name, tasks in (("A", ours), ("B", theirs)):
        if task not in tasks:
            return f"{name} does not hold it"
        if "values" not in tasks[task]:
            return f"{name} did not finish it; run its command again with --resume"
    if not ours[task]["is_mean"]:
        return (
            f"{ours[task]['metric']} is made of all answers together; use `anymal eval A "
            "--compare B`"
        )
    if ours[task]["metric"] != theirs[task]["metric"]:
        return (
            f"A was measured by '{ours[task]['metric']}' and B by '{theirs[task]['metric']}'; "
            "evaluate both in the same way"
        )
    if not _by_question(ours[task]).keys() & _by_question(theirs[task]).keys():
        return "no question was put to both"
    return None


def _by_question(task: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Digest of each question to the digest of its medium and its value."""
    return {asked: (medium, value) for asked, medium, value in task["values"]}


def _pair(task: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Pair:
    """One task that both hold."""
    first, second = _by_question(ours), _by_question(theirs)
    both = [asked for asked in first if asked in second]
    media = [first[asked][0] for asked in both]
    a, b = (
        Judged(
            values=np.array([found[asked][1] for asked in both]),
            highest=ours["highest"],  # the same as theirs: one metric
        )
        for found in (first, second)
    )
    return Pair(
        task=task,
        metric=ours["metric"],
        n=len(both),
        only_one=len(first.keys() ^ second.keys()),
        a=figure_of(a, media),
        b=figure_of(b, media),
        gain=difference_of(b, a, media),
        better=int((b.values > a.values).sum()),
        worse=int((a.values > b.values).sum()),
    )
