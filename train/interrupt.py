"""Ctrl-C and SIGTERM noted, for the loop to check between two steps.

Does not save anything; the loop that reads `requested` does.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupted(Exception):
    """The run was asked to stop and has saved a checkpoint.

    Attributes:
        exit_code: 130 after Ctrl-C, 143 after SIGTERM, as shells expect.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StopSignals:
    """While entered, a first Ctrl-C or SIGTERM is noted; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
        ):  # other threads may not set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal; a second Ctrl-C interrupts at once."""
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = number
