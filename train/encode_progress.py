"""What a person sees while media are encoded: a live bar on a terminal, a few lines elsewhere.

Does not measure anything but time.
"""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.progress import LINES_PER_RUN


class EncodeProgress:
    """Shows records done, media per second and the time left."""

    def __init__(self, console: Console, *, total: int) -> None:
        self._console = console
        self._total = total
        self._every = max(1, total // LINES_PER_RUN)
        self._records = self._media = 0
        self._began = time.perf_counter()
        self._bar = Progress(
            TextColumn("encoding"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("records  {task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("encoding", total=total, numbers="")

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

    def record(self, num_media: int) -> None:
        """Show one more record."""
        self._records += 1
        self._media += num_media
        rate = self._media / max(time.perf_counter() - self._began, 1e-9)
        numbers = f"{rate:,.1f} media/s"
        self._bar.update(self._task, completed=self._records, numbers=numbers)
        if not self._console.is_terminal and self._records % self._every == 0:
            self._console.print(
                f"{self._records:,} of {self._total:,} records, {numbers}", highlight=False
            )
