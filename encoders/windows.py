"""Cut a long signal into windows of one length, the same way every time.

Does not resample and does not know what the samples mean.

Shapes: N samples over time, W windows.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.base import EncoderError

# A last window with less sound than this is left out.
SOUND_SLACK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Windows of a signal.

    Attributes:
        samples: `[W, length, ...]`; the end of a window may be padding.
        num_real: `[W]` int64, samples of each window that were recorded (at least 1).
    """

    samples: NDArray[Any]
    num_real: NDArray[np.int64]


def cut_windows(
    samples: NDArray[Any],
    *,
    length: int,
    hop: int,
    max_windows: int,
    slack: int = 0,
    pad: Literal["zeros", "edge"] = "zeros",
) -> Windows:
    """Cut a signal into windows, padding the last one.

    A signal with more windows than `max_windows` keeps that many of them at even spacing, first
    and last included, so that a long recording is sampled over its whole length.

    Args:
        samples: `[N, ...]`, N >= 1.
        length: samples per window.
        hop: samples between the starts of windows, at most `length`.
        max_windows: the most windows to return.
        slack: a last window with no more than this many new samples is left out.
        pad: what follows the end of the signal: zeros, or its last sample.

    Returns:
        The windows.

    Raises:
        EncoderError: if a count is not positive, or windows would leave gaps.
    """
    check_windows(length=length, hop=hop, max_windows=max_windows)
    num_windows = 1 + max(0, -(-(len(samples) - length - slack) // hop))
    kept = spread(num_windows, max_windows)
    positions = kept[:, None] * hop + np.arange(length)  # [W, length]
    windows = samples[np.minimum(positions, len(samples) - 1)]
    if pad == "zeros":
        windows[positions >= len(samples)] = 0
    return Windows(samples=windows, num_real=(positions < len(samples)).sum(axis=1))


def spread(num_windows: int, max_windows: int) -> NDArray[np.int64]:
    """Which windows of a signal are kept, at even spacing, first and last included.

    Args:
        num_windows: windows that the signal has.
        max_windows: the most to keep.

    Returns:
        Their numbers, ascending.
    """
    places = np.linspace(0, num_windows - 1, min(num_windows, max_windows))
    return places.round().astype(np.int64)


def check_windows(*, length: int, hop: int, max_windows: int) -> None:
    """Refuse windows that cannot be cut; preprocessors do before there is a signal.

    Args:
        length: as in `cut_windows`.
        hop: likewise.
        max_windows: likewise.

    Raises:
        EncoderError: if a count is not positive, or windows would leave gaps.
    """
    if min(length, hop, max_windows) < 1:
        raise EncoderError(
            f"window of {length} samples every {hop} samples, at most {max_windows} windows: "
            "each must be at least 1; raise window_s, hop_s or max_windows"
        )
    if hop > length:
        raise EncoderError(
            f"windows of {length} samples every {hop} samples would skip some; lower hop_s to "
            "window_s or less"
        )


def window_length(window_s: float | None, *, rate_hz: float, longest: int) -> int:
    """Samples per window of a model that sees a fixed stretch of sound.

    Args:
        window_s: seconds asked for; None means as many as the model sees.
        rate_hz: the model's sampling rate.
        longest: samples that the model sees.

    Returns:
        Samples, from 1 to `longest`.

    Raises:
        EncoderError: if the window does not fit.
    """
    length = longest if window_s is None else round(window_s * rate_hz)
    if not 0 < length <= longest:
        raise EncoderError(
            f"window_s={window_s} must be above 0 and at most {longest / rate_hz}, the seconds "
            "that the model sees at once"
        )
    return length
