"""Whether the first steps of an `align` stage train anything.

Does not take steps and does not look into data; `train.stage` shows it both.
"""

from collections.abc import Iterable, Iterator, Sequence

from train.data.layout import MicroBatch
from train.errors import TrainingError

NUM_STEPS = 4


class FirstSteps:
    """Watches the samples and gradients of the first `NUM_STEPS` steps of a stage."""

    def __init__(self, *, stage: str, steps: int, trains: Sequence[str]) -> None:
        """Has seen nothing.

        Args:
            stage: Its name.
            steps: How many it has.
            trains: The modalities whose aligners train.
        """
        self._stage = stage
        self._last = min(NUM_STEPS, steps)
        self._trains = trains
        self._num_samples = self._num_with_medium = 0
        self._has_trained = False

    def see(self, micro_batches: Iterable[MicroBatch]) -> Iterator[MicroBatch]:
        """Count samples with a medium that trains something, on their way to the model."""
        for micro_batch in micro_batches:
            for sample in micro_batch.samples:
                self._num_samples += 1
                self._num_with_medium += any(sample.media.get(name) for name in self._trains)
            yield micro_batch

    def check(self, step: int, grad_norm: float) -> None:
        """Take note of a step.

        Args:
            step: Its number, from 1.
            grad_norm: Of its gradient.

        Raises:
            TrainingError: It is the last of the first steps, and none of them trained anything.
        """
        self._has_trained = self._has_trained or grad_norm > 0
        if step != self._last or self._has_trained:
            return
        names = ", ".join(self._trains)
        if self._num_with_medium == 0:
            raise TrainingError(
                f"stage {self._stage} trains nothing: none of the {self._num_samples} samples of "
                f"its first steps has a medium ({names}); give data with media, or leave the "
                "stage out"
            )
        raise TrainingError(
            f"stage {self._stage} trains nothing: the gradient of its first {step} steps is "
            f"exactly zero, although {self._num_with_medium} samples have a medium ({names}); look "
            "for an aligner or a language model whose output is constant"
        )
