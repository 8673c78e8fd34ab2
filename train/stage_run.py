"""What every stage of one run shares: the recipe, the model, and where measurements go.

Does not train (see `train.stage`).
"""

from dataclasses import dataclass
from typing import Never

from anymal.assemble import Assembled
from anymal.bundle.manifest import Manifest
from anymal.recipe.schema import Recipe
from train.data.sources import StageData
from train.interrupt import Interrupted, StopSignals
from train.metrics import MetricsLog, StepMetrics, read_metrics
from train.plot import plot_losses
from train.progress import RunProgress
from train.ranks.group import Ranks
from train.run_folder import RunFolder
from train.trackers import Trackers


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """What every stage of one run shares."""

    recipe: Recipe
    data: list[StageData]
    started_from: Manifest | None
    folder: RunFolder
    assembled: Assembled
    log: MetricsLog | None  # of the first rank only, as are trackers
    trackers: Trackers | None
    progress: RunProgress
    stop: StopSignals
    ranks: Ranks

    def steps_before(self, stage: int) -> int:
        """Return the optimiser steps of all earlier stages, had none of them ended early."""
        return sum(earlier.num_steps for earlier in self.recipe.stages[:stage])

    def tell(self, stage: int, metrics: StepMetrics) -> None:
        """Report one step: to the log, the trackers and the terminal."""
        if self.log is None or self.trackers is None:
            return
        self.log.write(metrics)
        self.trackers.write(metrics, total_step=self.steps_before(stage) + metrics.step)
        self.progress.step(metrics)
        if metrics.heldout_loss is not None:
            self.draw_curve()

    def draw_curve(self) -> None:
        """Draw the losses of the run so far."""
        if self.ranks.is_first:
            plot_losses(read_metrics(self.folder.metrics), self.folder.plot)

    def is_stopped(self) -> bool:
        """Whether any rank got a signal; the same on all of them."""
        signals = [each for each in self.ranks.gather(self.stop.requested) if each is not None]
        self.stop.requested = signals[0] if signals else None
        return bool(signals)

    def interrupt(self, stage: str, step: int) -> Never:
        """End the run after a signal; the checkpoint of that step is there."""
        assert self.stop.requested is not None, "only called after a signal"
        raise Interrupted(
            f"Stopped after step {step} of stage {stage}; a checkpoint is in "
            f"{self.folder.checkpoints}.",
            exit_code=128 + self.stop.requested,
        )
