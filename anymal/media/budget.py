"""How much all media of one request may hold together, counted as they are read and decoded.

`Limits` bounds each file by itself. Training has no budget: its files are the user's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from anymal.errors import MediaTooLarge
from encoders.signals import Audio, Image, Motion, Video


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The most that is accepted of all media of a request.

    Attributes:
        max_files: How many there are.
        max_bytes: Their sizes, as files.
        max_pixels: Pixels of images, and of the frames taken from films.
        max_samples: Samples of sounds, and numbers of motion recordings.
        max_seconds: Length of films and sounds.
    """

    max_files: float = 128
    max_bytes: float = 128 * 2**20
    max_pixels: float = 280_000_000
    max_samples: float = 60_000_000
    max_seconds: float = 3600.0


_NONE = RequestLimits(
    max_files=inf, max_bytes=inf, max_pixels=inf, max_samples=inf, max_seconds=inf
)


class Budget:
    """Counts the media of one request; without limits it refuses none."""

    def __init__(
        self, limits: RequestLimits | None = None, *, check: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing is counted yet.

        Args:
            limits: The most of all; None accepts any number.
            check: Called before each medium is read; ends the work by raising.
        """
        self._limits = limits or _NONE
        self.check = check
        self._num_bytes = self._num_pixels = self._num_samples = 0
        self._seconds = 0.0

    def check_files(self, number: int) -> None:
        """Refuse a request with too many media, before one of them is read.

        Raises:
            MediaTooLarge: If there are more files than accepted.
        """
        _check("files", number, self._limits.max_files)

    def count_file(self, num_bytes: int) -> None:
        """Count a file that has been read.

        Raises:
            MediaTooLarge: If this is more than accepted of all media together.
        """
        self._num_bytes += num_bytes
        _check("bytes", self._num_bytes, self._limits.max_bytes)

    def count_signal(self, signal: object) -> None:
        """Count what a file was decoded to; signals of other packages count as files only.

        Raises:
            MediaTooLarge: If this is more than accepted of all media together.
        """
        match signal:
            case Image():
                self._num_pixels += signal.pixels[..., 0].size
            case Video():
                self._num_pixels += signal.frames[..., 0].size
                self._seconds += signal.duration_s
            case Audio():
                self._num_samples += signal.samples.size
                self._seconds += signal.duration_s
            case Motion():
                self._num_samples += signal.samples.size
        _check("pixels", self._num_pixels, self._limits.max_pixels)
        _check("samples", self._num_samples, self._limits.max_samples)
        _check("seconds", self._seconds, self._limits.max_seconds)


def _check(what: str, number: float, most: float) -> None:
    if number > most:
        raise MediaTooLarge(
            "the media of this request together",
            f"{number:,.0f} {what} or more",
            f"at most {most:,.0f} {what}; send fewer or smaller media",
        )
