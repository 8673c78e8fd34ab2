"""A bar for long work: redrawn on a terminal, a few lines elsewhere.

Does not know what is done.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES_PER_RUN = 20  # where there is no terminal to redraw


class Bar:
    """What is done of a number of things, with a word before it and numbers after it.

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

    def needs_line(self, done: int) -> bool:
        """Whether a line should stand in for the bar now."""
        return not self._console.is_terminal and done % self._every == 0

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
