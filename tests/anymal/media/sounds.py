"""Sounds that are put together by hand, piece by piece, as devices and services write them."""

import io
import struct

import av
import numpy as np
import soundfile

from anymal.media.mpeg_audio import find_frames

TAG = b"TAG" + b"x" * 125


def id3(num_bytes: int = 300) -> bytes:
    """A tag such as stands in front of a sound."""
    return b"ID3\x04\0\0\0\0" + bytes((num_bytes >> 7, num_bytes & 127)) + bytes(num_bytes)


def tone(seconds: float = 1.5, rate_hz: int = 16000, pitch_hz: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def by_ffmpeg(
    container: str, codec: str, samples: np.ndarray, rate_hz: int, **options: str
) -> bytes:
    """A sound in a container and a codec that only FFmpeg writes."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono", options=options)
        resampler = av.AudioResampler(stream.format.name, "mono", rate_hz, stream.frame_size)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode())
    return file.getvalue()


def stored(kind: str, samples: np.ndarray, subtype: str = "PCM_16") -> bytes:
    """A sound as libsndfile writes it, at 16 kHz."""
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=kind, subtype=subtype)
    return file.getvalue()


def without_length(mp3: bytes) -> bytes:
    """An MP3 as a pipe gives it: without the first frame, which states how long it is."""
    found = find_frames(mp3[4:])
    assert found is not None
    return mp3[4 + found[1] :]


def speex(num_frames: int = 50) -> bytes:
    """Silence in Speex, which nothing here encodes: 20 ms in each frame."""
    numbers = (1, 80, 8000, 0, 4, 1, -1, 160, 0, 1, 0, 0, 0)
    head = b"Speex   " + b"1.2".ljust(20, b"\0") + struct.pack("<13i", *numbers)
    silence = b"\x03\xff"
    return (
        ogg_page(2, 0, 0, [head])
        + ogg_page(0, 0, 1, [struct.pack("<II", 0, 0)])
        + ogg_page(4, 160 * num_frames, 2, [silence] * num_frames)
    )


def ogg_page(flags: int, position: int, number: int, packets: list[bytes]) -> bytes:
    """A page of an OGG file."""
    parts = b"".join(bytes([255] * (len(one) // 255) + [len(one) % 255]) for one in packets)
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qIII", position, 7, number, 0)
    page = head + bytes([len(parts)]) + parts + b"".join(packets)
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    found = 0
    for byte in page:
        found ^= byte << 24
        for _ in range(8):
            found = (found << 1 ^ (0x04C11DB7 if found & 0x80000000 else 0)) & 0xFFFFFFFF
    return found
