"""The beginning of a stage that only media can train."""

from types import SimpleNamespace
from typing import Any

import pytest

from train.errors import TrainingError
from train.first_steps import NUM_STEPS, FirstSteps


def take(first: FirstSteps, *steps: tuple[str | None, float]) -> None:
    """Show steps of one sample: the modality of its medium, and the norm of the gradient."""
    for number, (modality, norm) in enumerate(steps, 1):
        media = {} if modality is None else {modality: [{}]}
        micro_batches: Any = [SimpleNamespace(samples=(SimpleNamespace(media=media),))]
        assert list(first.see(micro_batches)) == micro_batches
        first.check(number, norm)


def watch(*, steps: int = 100) -> FirstSteps:
    return FirstSteps(stage="align", steps=steps, trains=["image"])


@pytest.mark.parametrize("modality", [None, "audio"])
def test_first_steps_without_a_medium_that_trains_end_the_stage(modality: str | None) -> None:
    with pytest.raises(TrainingError, match=r"none of the 4 samples .* has a medium \(image\)"):
        take(watch(), *[(modality, 0.0)] * NUM_STEPS)


def test_a_gradient_of_zero_ends_the_stage() -> None:
    with pytest.raises(TrainingError, match="gradient of its first 4 steps is exactly zero"):
        take(watch(), *[("image", 0.0)] * NUM_STEPS)


def test_one_medium_among_the_first_steps_is_enough() -> None:
    take(watch(), (None, 0.0), (None, 0.0), ("image", 1e-9), (None, 0.0), *[(None, 0.0)] * 5)


def test_a_short_stage_is_judged_at_its_end() -> None:
    take(watch(), (None, 0.0), (None, 0.0))
    with pytest.raises(TrainingError, match="none of the 2 samples"):
        take(watch(steps=2), (None, 0.0), (None, 0.0))
