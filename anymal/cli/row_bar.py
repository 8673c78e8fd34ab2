"""A bar over the rows of data sets, on a terminal only.

Does not count anything but calls.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class RowBar:
    """Shows how many rows are done and how long the rest takes; redrawn four times a second."""

    def __init__(self, console: Console, description: str, total: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=4,
            transient=True,
            disable=not console.is_terminal,
            # Otherwise what goes to a file while the bar is on a terminal would go there, too.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(description, total=total)

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

    def step(self) -> None:
        """One more row is done."""
        self._bar.advance(self._task)
