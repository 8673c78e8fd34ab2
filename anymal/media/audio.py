"""Sound files, and the sound of films, to one channel at their own rate.

It does not resample: the encoders' preprocessing asks `encoders.resample` for the rate it needs.

Shapes: N samples, C channels.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
from av.container import InputContainer
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaEmpty, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.complete import check_complete
from anymal.media.container import check_seconds, open_container
from anymal.media.formats import ACCEPTED_SOUNDS, SOUNDS, detect, require
from anymal.media.limits import Limits
from anymal.media.source import Source, reason
from encoders.signals import Audio

_BY_SOUNDFILE = ("wav", "flac", "ogg", "mp3", "aiff")
_DECLARED = {
    "wav": "wav",
    "flac": "flac",
    "ogg": "ogg",
    "oga": "ogg",
    "opus": "ogg",
    "mp3": "mp3",
    "aiff": "aiff",
    "aac": "aac",
    "m4a": "mp4",
    "mp4": "mp4",
    "mov": "mp4",
    "webm": "matroska",
    "mkv": "matroska",
    "avi": "avi",
}
_RATES_HZ = (1_000, 768_000)
# Values decoded at a time.
_BLOCK = 2**20
# Floating-point files may pass full scale a little and are clipped; far past it they hold no sound.
_LOUDEST = 8.0


def decode_audio(source: Source, limits: Limits, format: str | None = None) -> Audio:
    """Decodes a sound: channels averaged to one, at the file's own rate, clipped to [-1, 1].

    Args:
        source: A sound, or a film with sound.
        limits: How many seconds are accepted; checked on the header where it tells them, and
            again while decoding.
        format: What the caller says it is, e.g. "wav"; an error where the file is another.

    Returns:
        The sound.

    Raises:
        MediaError: Not a sound, without one, broken, cut short, or too long.
    """
    key = require(source, SOUNDS, ACCEPTED_SOUNDS)
    if format is not None:
        _check_declared(source, key, format)
    if key in _BY_SOUNDFILE and not _is_endless_flac(source.data):
        return _by_soundfile(source, key, limits)
    with open_container(source, key, limits) as container:
        sound = read_track(container, source.name, limits)
    if sound is None:
        raise MediaUnsupported(source.name, "a film without sound", ACCEPTED_SOUNDS)
    return sound


def read_track(container: InputContainer, name: str, limits: Limits) -> Audio | None:
    """Decodes the first sound track of an open container.

    Args:
        container: An open film or sound, not yet read from.
        name: The file's name, for errors.
        limits: How many seconds are accepted.

    Returns:
        The sound, or None where there is no track.

    Raises:
        MediaError: The track is broken, empty, or too long.
    """
    if not container.streams.audio:
        return None
    stream = container.streams.audio[0]
    # NOTE: PyAV leaves this empty where FFmpeg has no decoder, whatever its types say.
    if getattr(stream, "codec_context", None) is None:
        raise MediaUnsupported(name, "a sound in an unknown codec", "a common codec, e.g. AAC")
    rate_hz = _checked_rate(name, stream.sample_rate)

    def blocks() -> Iterator[NDArray[np.float32]]:
        for frame in container.decode(stream):
            if frame.sample_rate != rate_hz:
                raise MediaUnsupported(name, "a sound whose rate changes", "one rate throughout")
            yield _mono(frame.to_ndarray(), frame.format.is_planar, len(frame.layout.channels))

    sound = _join(blocks(), name, rate_hz, limits)
    promised_s = float((stream.duration or 0) * (stream.time_base or 0))
    # Encoders pad and trim by a few frames; more than that is missing.
    if sound.duration_s < 0.95 * promised_s - 0.25:
        found = f"{sound.duration_s:.2f} of {promised_s:.2f} seconds of sound"
        raise MediaCorrupt(name, found, "a complete file")
    return sound


def _check_declared(source: Source, key: str, format: str) -> None:
    """Refuses a declared format that is unknown or not what the file is."""
    declared = format.strip().lower().removeprefix(".")
    if declared not in _DECLARED:
        known = ", ".join(_DECLARED)
        raise MediaUnsupported(source.name, f"the unknown audio format {declared!r}", known)
    if _DECLARED[declared] != key:
        label = detect(source.data).label
        raise MediaUnsupported(
            source.name, f"{label}, declared as {declared!r}", "a format that is what it says"
        )


def _by_soundfile(source: Source, key: str, limits: Limits) -> Audio:
    """The formats that libsndfile reads."""
    check_complete(source, key)
    try:
        with soundfile.SoundFile(io.BytesIO(source.data)) as file:
            rate_hz = _checked_rate(source.name, file.samplerate)
            promised = file.frames
            check_seconds(source.name, promised / rate_hz, limits)
            sound = _join(_blocks(file), source.name, rate_hz, limits)
    except MediaError:
        raise
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError, OSError) as error:
        label = detect(source.data).label
        raise MediaCorrupt(
            source.name, f"{label} that is broken or truncated ({reason(error)})", "a complete file"
        ) from error
    # An MP3's header may count the padding that the decoder then removes.
    if key != "mp3" and len(sound.samples) < promised:
        found = f"{len(sound.samples):,} of {promised:,} samples"
        raise MediaCorrupt(source.name, found, "a complete file")
    return sound


def _is_endless_flac(data: bytes) -> bool:
    """A FLAC written to a pipe, whose header leaves the length out: libsndfile cannot read it."""
    return data.startswith(b"fLaC") and not int.from_bytes(data[21:26], "big") & 0xF_FFFF_FFFF


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """The sound in pieces, channels averaged."""
    num_frames = max(1, _BLOCK // file.channels)
    while len(block := file.read(num_frames, dtype="float32", always_2d=True)):
        yield np.mean(block, axis=1)


def _checked_rate(name: str, rate_hz: int) -> int:
    """The rate, if sound is recorded at such rates."""
    low, high = _RATES_HZ
    if not low <= rate_hz <= high:
        raise MediaUnsupported(name, f"a rate of {rate_hz} Hz", f"{low} to {high} Hz")
    return rate_hz


def _mono(samples: NDArray[Any], is_planar: bool, num_channels: int) -> NDArray[np.float32]:
    """A decoded frame, [C, N] or [1, N * C], of any number type, averaged to one channel."""
    rows = samples if is_planar else samples.reshape(-1, num_channels).T
    if rows.dtype.kind == "f":
        return np.asarray(np.mean(rows, axis=0), dtype=np.float32)
    # Unsigned bytes are centred at 128, signed types at 0.
    middle = 128 if rows.dtype == np.uint8 else 0
    scale = 2.0 ** (8 * rows.dtype.itemsize - 1)
    return np.asarray((np.mean(rows, axis=0) - middle) / scale, dtype=np.float32)


def _join(blocks: Iterator[NDArray[np.float32]], name: str, rate_hz: int, limits: Limits) -> Audio:
    """The blocks in a row, counted as they come, and clipped."""
    kept: list[NDArray[np.float32]] = []
    num_samples = 0
    # What is not finite is refused below, by its place.
    with np.errstate(invalid="ignore", over="ignore"):
        for block in blocks:
            num_samples += len(block)
            check_seconds(name, num_samples / rate_hz, limits)
            kept.append(block)
    if not num_samples:
        raise MediaEmpty(name, "a sound without samples", "at least one sample")
    samples = np.concatenate(kept)
    if not np.isfinite(samples).all():
        first = int(np.argmin(np.isfinite(samples)))
        found = f"a value that is not finite at sample {first + 1}"
        raise MediaCorrupt(name, found, "finite samples")
    peak = float(np.abs(samples).max())
    if peak > _LOUDEST:
        raise MediaTooLarge(name, f"samples up to {peak:g}", "samples between -1 and 1")
    return Audio(samples=np.clip(samples, -1.0, 1.0), rate_hz=rate_hz)
