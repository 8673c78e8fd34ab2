"""Pictures, sounds and recordings of few bytes that ask a decoder for much memory or much work."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import soundfile

from tests.anymal.media.broken import chunk, huge_png


def silent_flac(rate_hz: int, seconds: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    options = {"samplerate": rate_hz, "channels": channels, "format": "FLAC"}
    with soundfile.SoundFile(file, "w", **options) as sound:
        for _ in range(seconds):
            sound.write(np.zeros((rate_hz, channels), np.int16))
    return file.getvalue()


def fast_flac() -> bytes:
    """Silence of which a second has 655,350 samples."""
    return silent_flac(655_350, 50)


def wide_flac() -> bytes:
    """Ten minutes of silence at 48 kHz in eight channels."""
    return silent_flac(48_000, 599, 8)


def stereo_flac() -> bytes:
    """Ten minutes of silence at 48 kHz in two channels: an ordinary sound."""
    return silent_flac(48_000, 599, 2)


def progressive_jpeg(num_scans: int = 5000, side: int = 7900) -> bytes:
    """Many scans that change nothing."""
    file = io.BytesIO()
    PIL.Image.new("L", (16, 16)).save(file, "jpeg", progressive=True)
    data = bytearray(file.getvalue())
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, side, side)
    first = data.index(b"\xff\xda")
    end = data.index(b"\xff", first + 2)
    while data[end + 1] == 0:
        end = data.index(b"\xff", end + 2)
    return bytes(data[:end]) + bytes(data[first:end]) * num_scans + b"\xff\xd9"


def flat(kind: str = "PNG", mode: str = "1", side: int = 7900) -> bytes:
    file = io.BytesIO()
    PIL.Image.new(mode, (side, side)).save(file, kind)
    return file.getvalue()


def lines_by_return() -> bytes:
    return b"ax,ay,az\r" + b"1,1,1\r" * 2_100_000


def lines_by_other() -> bytes:
    return b"ax,ay,az\n" + b"1,1,1\n" * 2000 + "\u2028".encode() * 2_100_000


def many_values() -> bytes:
    return b"[" + b"[]," * 2_600_000 + b"[]]"


def many_keys() -> bytes:
    return b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}"


def jpeg_markers() -> bytes:
    """Millions of empty application segments."""
    file = io.BytesIO()
    PIL.Image.new("L", (16, 16)).save(file, "jpeg")
    data = file.getvalue()
    return data[:2] + b"\xff\xe5\0\2" * 20_000 + data[2:]


def many_chunks_png() -> bytes:
    """Empty pieces of pixels before those of the one pixel."""
    first, last = huge_png(1, 1).split(chunk(b"IDAT", zlib.compress(bytes(100))))
    return first + chunk(b"IDAT", b"") * 110_000 + chunk(b"IDAT", zlib.compress(bytes(4))) + last
