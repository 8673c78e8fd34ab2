import dataclasses
import json
from pathlib import Path

import torch

from train.metrics import MetricsLog, StepMetrics, memory_used, read_metrics
from train.plot import plot_losses


def step(number: int, stage: str = "align", heldout: float | None = None) -> StepMetrics:
    return StepMetrics(
        stage=stage,
        step=number,
        loss=1 / number,
        lr=1e-3,
        tokens=10,
        targets=3,
        tokens_per_s=100.0,
        grad_norm=1.0,
        memory=2**20,
        heldout_loss=heldout,
    )


def test_each_step_is_on_disk_at_once_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, keep_bytes=0) as log:
        log.write(step(1))
        assert len(path.read_text().splitlines()) == 1
        log.write(step(2, heldout=0.5))
        assert read_metrics(path) == [step(1), step(2, heldout=0.5)]
    assert "heldout_loss" not in json.loads(path.read_text().splitlines()[0])


def test_resuming_forgets_steps_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, keep_bytes=0) as log:
        log.write(step(1))
        kept = log.num_bytes
        log.write(step(2))
    with MetricsLog(path, keep_bytes=kept) as log:
        assert log.num_bytes == kept
        log.write(dataclasses.replace(step(2), loss=7.0))
    assert [one.loss for one in read_metrics(path)] == [1.0, 7.0]


def test_memory_is_a_plausible_number_of_bytes() -> None:
    assert 2**24 < memory_used(torch.device("cpu")) < 2**40


def test_the_plot_has_a_wider_image_for_two_stages(tmp_path: Path) -> None:
    from PIL import Image

    one, two = tmp_path / "one.png", tmp_path / "two.png"
    first = [step(n, heldout=0.3 if n == 2 else None) for n in (1, 2, 3)]
    plot_losses(first, one)
    plot_losses([*first, step(1, stage="instruct")], two)
    with Image.open(one) as small, Image.open(two) as large:
        assert large.width == 2 * small.width
    assert [path.name for path in tmp_path.iterdir()] == ["one.png", "two.png"] or len(
        list(tmp_path.iterdir())
    ) == 2
