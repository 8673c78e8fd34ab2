"""Sound as it comes out of a decoder, block by block, to one channel.

It neither decodes nor resamples.

Shapes: N samples, C channels.
"""

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaEmpty, MediaTooLarge, MediaUnsupported
from anymal.media.container import check_seconds
from anymal.media.limits import Limits
from encoders.signals import Audio

logger = logging.getLogger(__name__)

_RATES_HZ = (1_000, 768_000)
# Floating-point files may pass full scale a little and are clipped; far past it they hold no sound.
_LOUDEST = 8.0
_MOST_CHANNELS = 8
# Values that are looked at together.
_PIECE = 2**20
# The sum of independent channels has their energy; one with less than this share of it has been
# cancelled.
_CANCELLED = 0.1

# A rate, and [C, N] samples at that rate.
Block = tuple[int, NDArray[np.float32]]


def mix(blocks: Iterator[Block], name: str, limits: Limits) -> Audio:
    """Joins blocks to one sound: channels averaged, clipped to [-1, 1].

    Where the channels cancel each other, as those of a wrongly wired cable do, their average would
    be silence: one of them, the loudest when the sound begins, is taken instead.

    Args:
        blocks: The sound in pieces, each of any number of channels.
        name: The file's name, for errors.
        limits: How many seconds and samples are accepted; checked block by block.

    Returns:
        The sound.

    Raises:
        MediaError: Empty, too long, of changing rate, or with samples that are no sound.
    """
    # Bytes, which grow without a copy, however small the blocks are.
    means, singles = bytearray(), bytearray()
    rate_hz, num_samples, num_values, loudest = 0, 0, 0, None
    total = apart = 0.0
    # What is not finite is refused below, by its place.
    with np.errstate(invalid="ignore", over="ignore"):
        for block_hz, block in blocks:
            rate_hz = _checked_rate(name, block_hz, rate_hz)
            num_samples += block.shape[1]
            num_values += block.size
            check_seconds(name, num_samples / rate_hz, limits)
            check_samples(name, num_samples, num_values, limits)
            mean = block[0] if len(block) == 1 else np.mean(block, axis=0)
            means.extend(mean.tobytes())
            if len(block) > 1:
                energies = np.einsum("cn,cn->c", block, block)
                if loudest is None and energies.any():
                    loudest = int(energies.argmax())
                total += float(np.vdot(mean, mean)) * len(block) ** 2
                apart += float(energies.sum())
            singles.extend(block[min(loudest or 0, len(block) - 1)].tobytes())
    if not num_samples:
        raise MediaEmpty(name, "a sound without samples", "at least one sample")
    if loudest is not None and total < _CANCELLED * apart:
        logger.warning("%s: the channels cancel each other; channel %d is taken", name, loudest + 1)
        means = singles
    del singles
    return Audio(samples=_clipped(np.frombuffer(means, np.float32), name), rate_hz=rate_hz)


def check_samples(name: str, num_samples: int, num_values: int, limits: Limits) -> None:
    """Refuses a sound of too many samples: few bytes can be silence at a high rate.

    Args:
        name: The file's name, for the error.
        num_samples: Samples in a channel.
        num_values: Samples in all channels.
        limits: How many are accepted.

    Raises:
        MediaTooLarge: Beyond the limit.
    """
    if num_samples > limits.max_samples or num_values > _MOST_CHANNELS * limits.max_samples:
        found = f"{num_samples:,} samples or more, {num_values:,} in all channels"
        most = f"{limits.max_samples:,} samples, {_MOST_CHANNELS} times as many in all channels"
        raise MediaTooLarge(name, found, f"at most {most}; save it at 48 kHz or cut it")


def _checked_rate(name: str, rate_hz: int, before: int) -> int:
    """The rate, if sound is recorded at such rates and it is still the same."""
    low, high = _RATES_HZ
    if not low <= rate_hz <= high:
        raise MediaUnsupported(name, f"a rate of {rate_hz} Hz", f"{low} to {high} Hz")
    if before not in (0, rate_hz):
        found = f"a sound whose rate changes from {before} to {rate_hz} Hz"
        raise MediaUnsupported(name, found, "one rate throughout; convert the parts to one rate")
    return rate_hz


def _clipped(samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """The samples within full scale, in their own memory, if they are those of a sound."""
    pieces = [samples[start : start + _PIECE] for start in range(0, len(samples), _PIECE)]
    for number, piece in enumerate(pieces):
        is_finite = np.isfinite(piece)
        if not is_finite.all():
            first = number * _PIECE + int(np.argmin(is_finite))
            found = f"a value that is not finite at sample {first + 1}"
            raise MediaCorrupt(name, found, "finite samples")
    peak = max(float(np.abs(piece).max()) for piece in pieces)
    if peak > _LOUDEST:
        raise MediaTooLarge(name, f"samples up to {peak:g}", "samples between -1 and 1")
    for piece in pieces:
        np.clip(piece, -1.0, 1.0, out=piece)
    return samples
