"""The console that the commands print to."""

from typing import IO

from rich.console import Console


def plain_console(
    *,
    file: IO[str] | None = None,
    stderr: bool = False,
    quiet: bool = False,
    width: int | None = None,
) -> Console:
    """A console that prints text as it is, whatever the text holds.

    Paths and numbers get no colours, square brackets are no markup, and long lines are not broken,
    so that a printed command can be copied.

    Args:
        file: Where to print; by default standard output.
        stderr: Print to standard error instead.
        quiet: Print nothing.
        width: Columns; by default those of the terminal.
    """
    return Console(
        file=file,
        stderr=stderr,
        quiet=quiet,
        width=width,
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
