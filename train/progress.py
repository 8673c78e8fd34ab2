"""What a person sees while a run goes on: a live bar on a terminal, a few lines elsewhere.

Does not measure anything; it shows what the loop measured.
"""

from rich.console import Console

from train.bar import Bar
from train.metrics import StepMetrics


class RunProgress(Bar):
    """Shows one bar over all stages of a run."""

    def __init__(self, console: Console, *, total_steps: int) -> None:
        super().__init__(console, "starting", total=total_steps)
        self._done = 0

    def skip_to(self, total_step: int) -> None:
        """Say how many steps of the run are done already."""
        self._done = total_step
        self.show(total_step)

    def step(self, metrics: StepMetrics) -> None:
        """Show one more step."""
        self._done += 1
        numbers = describe(metrics)
        self.show(self._done, description=metrics.stage, numbers=numbers)
        if metrics.heldout_loss is not None:
            self.say(
                f"{metrics.stage} step {metrics.step}: held-out loss {metrics.heldout_loss:.4f}"
            )
        elif self.needs_line(self._done):
            self.say(f"{metrics.stage} step {metrics.step}: {numbers}")


def describe(metrics: StepMetrics) -> str:
    """Return the numbers of one step as the bar shows them."""
    return (
        f"loss {metrics.loss:.4f}  {metrics.tokens_per_s:,.0f} tokens/s  "
        f"{metrics.memory / 2**30:.1f} GiB"
    )
