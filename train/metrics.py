"""What is measured at every optimiser step, as lines of metrics.jsonl.

Does not draw (see `train.plot`) and does not measure (see `train.loop`).
"""

import json
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One optimiser step.

    Attributes:
        stage: Name of the stage.
        step: Steps done in the stage, this one included.
        loss: Mean over the step's target tokens, or pairs, in nats.
        lr: Learning rate of the first rule: of the aligners, where they train.
        lora_lr: Learning rate of LoRA, where a rule of its own trains it.
        tokens: Positions that ran, with soft tokens, without padding and without a shared prefix.
        targets: Tokens, or pairs, that the loss is the mean of.
        tokens_per_s: `tokens` over the seconds of the step, waiting for data included.
        grad_norm: Norm of the gradient before clipping.
        memory: Bytes: peak of the GPU, or of the process on a CPU.
        heldout_loss: Mean over held-out target tokens, where it was measured after this step.
        accuracy: Share of right answers to held-out questions, where they were asked after it.
        answers: Some of these, each with `question`, `expected`, `answer` and `right`.
        measures: What else the objective reports, means as `loss` is; their names have a slash, as
            `rewards/margins`, and each is a key of its own in the file.
    """

    stage: str
    step: int
    loss: float
    lr: float
    tokens: int
    targets: int
    tokens_per_s: float
    grad_norm: float
    memory: int
    lora_lr: float | None = None
    heldout_loss: float | None = None
    accuracy: float | None = None
    answers: list[dict[str, Any]] | None = None
    measures: Mapping[str, float] | None = None


class MetricsLog:
    """Appends steps to a file, one line each, flushed at once."""

    def __init__(self, path: Path, *, keep_bytes: int) -> None:
        """Open the file and drop the lines after the checkpoint that the run resumes from."""
        self._file = path.open("ab")
        self._file.truncate(min(keep_bytes, self._file.seek(0, os.SEEK_END)))
        self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, metrics: StepMetrics) -> None:
        """Append one step; what was not measured is left out."""
        line = {key: value for key, value in asdict(metrics).items() if value is not None}
        line |= line.pop("measures", {})
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    @property
    def num_bytes(self) -> int:
        """Length of the file so far."""
        return self._file.tell()


def said(measure: Literal["heldout_loss", "accuracy"], value: float) -> str:
    """A measurement on held-out records as it is shown."""
    if measure == "accuracy":
        return f"accuracy {100 * value:.1f} %"
    return f"held-out loss {value:.4f}"


def read_metrics(path: Path) -> list[StepMetrics]:
    """Read a metrics file back."""
    with path.open(encoding="utf-8") as file:
        return [_read(json.loads(line)) for line in file]


def _read(line: dict[str, Any]) -> StepMetrics:
    """One line of the file."""
    measures = {name: line.pop(name) for name in list(line) if "/" in name}
    return StepMetrics(**line, measures=measures or None)


def memory_used(device: torch.device) -> int:
    """Return the peak of allocated GPU memory, or of the process's resident memory, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
