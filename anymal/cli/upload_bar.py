"""A progress bar while a large file is uploaded to a service.

Does not send anything; it stands between the command line and a client.
"""

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TransferSpeedColumn

from anymal.cli.console import plain_console

# Smaller requests are sent before a bar could be read.
WORTH_A_BAR_BYTES = 8 * 2**20


class UploadBar:
    """Shows large uploads on standard error, if that is a terminal, until they are complete."""

    def __init__(self, console: Console | None = None) -> None:
        """Shows nothing yet.

        Args:
            console: Where to; by default standard error.
        """
        self._console = console or plain_console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def __call__(self, sent: int, total: int) -> None:
        """Show the progress of an upload.

        Args:
            sent: Bytes sent so far.
            total: Bytes in all.
        """
        if total < WORTH_A_BAR_BYTES or not self._console.is_terminal:
            return
        if sent == total:
            self.close()
            return
        if self._progress is None:
            columns = ("sending", BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._progress.start()
            self._task = self._progress.add_task("", total=total)
        self._progress.update(self._task, completed=sent)

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
