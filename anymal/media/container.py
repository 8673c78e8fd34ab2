"""Opening films and sounds with PyAV, with its errors told as ours.

It decodes nothing. The demuxer is always named: left to guess, FFmpeg would also take playlists,
which open other files and addresses.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge
from anymal.media.complete import check_complete, check_joined
from anymal.media.formats import detect
from anymal.media.limits import Limits
from anymal.media.source import Source, reason

_DEMUXERS = {
    "mp4": "mov",
    "matroska": "matroska",
    "avi": "avi",
    "gif": "gif",
    "mpegts": "mpegts",
    "mpg": "mpeg",
    "ogg": "ogg",
    "aac": "aac",
    "flac": "flac",
    "mp3": "mp3",
    "amr": "amr",
    "caf": "caf",
    "wav": "wav",
}
# Formats that state no length for what FFmpeg reads of them: it guesses one from the first frames.
GUESSED = ("mp3", "aac", "amr", "wav")
# FFmpeg's own errors, and what PyAV raises on fields that do not fit Python's types.
_BROKEN = (av.FFmpegError, ArithmeticError, ValueError, LookupError, MemoryError)
_MICROSECONDS = 1_000_000


@contextmanager
def open_container(source: Source, key: str, limits: Limits) -> Iterator[InputContainer]:
    """Opens a film or a sound; errors while it is open name the file.

    Args:
        source: The file.
        key: Its format, as `formats.detect` tells it.
        limits: How many seconds and pixels are accepted.

    Yields:
        PyAV's container.

    Raises:
        MediaCorrupt: FFmpeg cannot read it, or it was cut short.
        MediaTooLarge: It declares more seconds than accepted.
    """
    check_complete(source, key)
    check_joined(source, key)
    try:
        with av.open(
            io.BytesIO(source.data),
            "r",
            format=_DEMUXERS[key],
            # Opening decodes a first frame where the header leaves something out.
            options=decoder_options(limits),
            metadata_errors="replace",
        ) as container:
            if key not in GUESSED:
                check_seconds(source.name, (container.duration or 0) / _MICROSECONDS, limits)
            yield container
    except MediaError:
        raise
    except _BROKEN as error:
        label = detect(source.data).label
        raise MediaCorrupt(
            source.name, f"{label} that is broken or truncated ({reason(error)})", "a complete file"
        ) from error


def decoder_options(limits: Limits) -> dict[str, str]:
    """Options that make FFmpeg itself refuse frames that are larger than their header said.

    Args:
        limits: How many pixels are accepted.

    Returns:
        Options for a container or a decoder.
    """
    return {"max_pixels": str(limits.max_pixels)}


def check_seconds(name: str, seconds: float, limits: Limits) -> None:
    """Refuses a film or a sound that is too long.

    Args:
        name: The file's name, for the error.
        seconds: Its length.
        limits: How many seconds are accepted.

    Raises:
        MediaTooLarge: Beyond the limit.
    """
    if seconds > limits.max_seconds:
        raise MediaTooLarge(
            name, f"{seconds:,.1f} seconds", f"at most {limits.max_seconds:g} seconds"
        )
