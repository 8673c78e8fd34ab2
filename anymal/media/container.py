"""Opening films and sounds with PyAV, with its errors told as ours.

It decodes nothing. The demuxer is always named: left to guess, FFmpeg would also take playlists,
which open other files and addresses.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.container import InputContainer
from av.stream import Discard, Stream

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge
from anymal.media.complete import check_complete, check_joined
from anymal.media.film_index import MOST_TRACKS, check_index
from anymal.media.formats import detect
from anymal.media.jpeg import check_scans
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
# AVI's index of indexes is not read: all may be the same one.
_DEMUXER_OPTIONS = {"max_streams": str(MOST_TRACKS), "use_odml": "0"}
# Formats that state no length for what FFmpeg reads of them: it guesses one from the first frames.
GUESSED = ("mp3", "aac", "amr", "wav")
# FFmpeg's own errors, and what PyAV raises on fields that do not fit Python's types.
_BROKEN = (av.FFmpegError, ArithmeticError, ValueError, LookupError, MemoryError)
_MICROSECONDS = 1_000_000
# Samples in a frame of sound, in each channel; codecs have a few thousand, raw sound a packet.
_MOST_IN_FRAME = 2**22
# Ten minutes in packets of 1 ms have fewer.
_MOST_PACKETS = 1_000_000
# Bytes that are read of a file: each a few times, and the first ones of a small file more often.
_READ_TIMES, _READ_MORE = 8, 2**24


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
        MediaTooLarge: It declares more seconds, frames or tracks than accepted.
    """
    check_complete(source, key)
    check_joined(source, key)
    check_index(source, key)
    try:
        with av.open(
            _Reader(source),
            "r",
            format=_DEMUXERS[key],
            # Opening decodes a first frame where the header leaves something out.
            options={**decoder_options(limits), **_DEMUXER_OPTIONS},
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


class _Reader(io.BytesIO):
    """A file of which no more is read than a film needs: frames may all be the same bytes."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.data)
        self._name = source.name
        self._left = _READ_TIMES * len(source.data) + _READ_MORE

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads on; an error once too much was read."""
        if self._left < 0:
            return b""
        data = super().read(size)
        self._left -= len(data)
        if self._left < 0:
            found = f"a file whose parts are read more than {_READ_TIMES} times"
            raise MediaTooLarge(self._name, found, "frames that do not share their bytes")
        return data


def packets_of(
    container: InputContainer, stream: Stream, name: str, limits: Limits
) -> Iterator[Any]:
    """Reads one track; the packets of all others are left out, however many they are.

    Args:
        container: An open film or sound, not yet read from.
        stream: The track to read.
        name: The file's name, for errors.
        limits: How many bytes are accepted, also unpacked.

    Yields:
        PyAV's packets.

    Raises:
        MediaTooLarge: Too many packets, too many bytes in them, or JPEG of too many scans.
    """
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    num_bytes = 0
    is_jpeg = stream.codec_context.name == "mjpeg"
    for number, packet in enumerate(container.demux(stream)):
        num_bytes += packet.size
        if is_jpeg:
            check_scans(name, bytes(packet), limits)
        if num_bytes > limits.max_bytes or number > _MOST_PACKETS:
            found = f"a track of {num_bytes:,} bytes in {number:,} packets, or more"
            most = f"at most {limits.max_bytes:,} bytes in {_MOST_PACKETS:,} packets"
            raise MediaTooLarge(name, found, most)
        yield packet


def decoder_options(limits: Limits) -> dict[str, str]:
    """Options that make FFmpeg itself refuse frames that are larger than their header said.

    That holds for pictures and for sound.

    Args:
        limits: How many pixels are accepted.

    Returns:
        Options for a container or a decoder.
    """
    return {"max_pixels": str(limits.max_pixels), "max_samples": str(_MOST_IN_FRAME)}


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
