"""What a person sees while training or encoding runs: a live bar on a terminal, else a few lines.

Measures nothing but time; it shows what the loops measured.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.metrics import StepMetrics, said

LINES_PER_RUN = 20  # where there is no terminal to redraw


class Bar:
    """How much of some work is done, with a word before the bar and numbers behind it.

    Redrawn at most four times a second.
    """

    def __init__(self, console: Console, description: str, *, total: int) -> None:
        self._console = console
        self._every = max(1, total // LINES_PER_RUN)
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
        self._task = self._bar.add_task(description, total=total, numbers="")

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

    def show(self, done: int, *, description: str | None = None, numbers: str = "") -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, description=description, numbers=numbers)

    @contextmanager
    def part(self, description: str, *, total: int) -> Iterator[Callable[[int], None]]:
        """A bar of its own for work between two steps.

        Yields:
            Called with how much of it is done.
        """
        self.say(f"{description}: {total:,} records")
        task = self._bar.add_task(description, total=total, numbers="records")
        try:
            yield lambda done: self._bar.update(task, completed=done)
        finally:
            self._bar.remove_task(task)

    def needs_line(self, done: int) -> bool:
        """Whether to print a line in place of the bar, which only a terminal shows."""
        return not self._console.is_terminal and done % self._every == 0

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text)


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
        if measured := describe_measured(metrics):
            self.say(f"{metrics.stage} step {metrics.step}: {measured}")
        elif self.needs_line(self._done):
            self.say(f"{metrics.stage} step {metrics.step}: {numbers}")


def describe(metrics: StepMetrics) -> str:
    """Return the numbers of one step as the bar shows them."""
    return (
        f"loss {metrics.loss:.4f}  {metrics.tokens_per_s:,.0f} tokens/s  "
        f"{metrics.memory / 2**30:.1f} GiB"
    )


def describe_measured(metrics: StepMetrics) -> str:
    """Return what was measured on held-out records after a step; empty where nothing was."""
    found = []
    if metrics.heldout_loss is not None:
        found.append(said("heldout_loss", metrics.heldout_loss))
    if metrics.accuracy is not None:
        found.append(said("accuracy", metrics.accuracy))
    return ", ".join(found)


class EncodeProgress(Bar):
    """Shows records done, media per second and the time left."""

    def __init__(self, console: Console, *, total: int) -> None:
        super().__init__(console, "encoding", total=total)
        self._total = total
        self._records = self._media = 0
        self._began = time.perf_counter()

    def record(self, num_media: int) -> None:
        """Show one more record."""
        self._records += 1
        self._media += num_media
        rate = self._media / max(time.perf_counter() - self._began, 1e-9)
        numbers = f"{rate:,.1f} media/s"
        self.show(self._records, numbers=f"records  {numbers}")
        if self.needs_line(self._records):
            self.say(f"{self._records:,} of {self._total:,} records, {numbers}")
