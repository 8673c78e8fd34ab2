"""What a person sees while media are encoded: a live bar on a terminal, a few lines elsewhere.

Does not measure anything but time.
"""

import time

from rich.console import Console

from train.bar import Bar


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
