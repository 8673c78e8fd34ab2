"""What a person sees while a run goes on: a live bar on a terminal, a few lines elsewhere.

Does not measure anything; it shows what the loop measured.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.metrics import StepMetrics

LINES_PER_RUN = 20  # where there is no terminal to redraw


class RunProgress:
    """Shows one bar over all stages of a run; redrawn at most four times a second."""

    def __init__(self, console: Console, *, total_steps: int) -> None:
        self._console = console
        self._every = max(1, total_steps // LINES_PER_RUN)
        self._done = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=total_steps, numbers="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def skip_to(self, total_step: int) -> None:
        """Say how many steps of the run are done already."""
        self._done = total_step
        self._bar.update(self._task, completed=total_step)

    def step(self, metrics: StepMetrics) -> None:
        """Show one more step."""
        self._done += 1
        numbers = describe(metrics)
        self._bar.update(
            self._task, completed=self._done, description=metrics.stage, numbers=numbers
        )
        if metrics.heldout_loss is not None:
            self.say(
                f"{metrics.stage} step {metrics.step}: held-out loss {metrics.heldout_loss:.4f}"
            )
        elif not self._console.is_terminal and self._done % self._every == 0:
            self.say(f"{metrics.stage} step {metrics.step}: {numbers}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def describe(metrics: StepMetrics) -> str:
    """Return the numbers of one step as the bar shows them."""
    return (
        f"loss {metrics.loss:.4f}  {metrics.tokens_per_s:,.0f} tokens/s  "
        f"{metrics.memory / 2**30:.1f} GiB"
    )
