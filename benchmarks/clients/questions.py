"""What the stock clients are asked: questions about small media made here.

Needs no library and no file, so that it runs in an environment with the clients alone.
"""

import base64
import io
import math
import struct
import wave
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

QUESTION = "What is in it?"
MAX_TOKENS = 12

Call = Callable[[], Any] | Callable[[], Awaitable[Any]]
"""One call of a client; raises if there is no answer."""


def png() -> bytes:
    """A red square of 64 x 64 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    rows = (b"\0" + b"\xd0\x20\x20" * 64) * 64
    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def wav() -> bytes:
    """A second of a tone of 440 Hz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        tone = (int(9000 * math.sin(2 * math.pi * 440 * n / 16000)) for n in range(16000))
        sound.writeframes(b"".join(struct.pack("<h", value) for value in tone))
    return file.getvalue()


def csv() -> str:
    """Two seconds of a motion recording that states its times and units."""
    rows = (f"{n / 50},{0.1 * (n % 7)},0,9.8,0,0,0" for n in range(100))
    return "\n".join(("time_s,ax (m/s^2),ay,az,gx (rad/s),gy,gz", *rows))


IMAGE = base64.b64encode(png()).decode()
SOUND = base64.b64encode(wav()).decode()
IMAGE_URL = f"data:image/png;base64,{IMAGE}"
SOUND_URL = f"data:audio/wav;base64,{SOUND}"
WALK = base64.b64encode(csv().encode()).decode()
MOTION = {"samples": [[0.1 * n, 0.0, 9.8, 0.0, 0.0, 0.0] for n in range(100)], "rate_hz": 50}
IMAGE_PART = {"type": "image_url", "image_url": {"url": IMAGE_URL, "detail": "low"}}
SOUND_PART = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
MOTION_PART = {"type": "input_imu", "input_imu": MOTION}
FILE_PART = {"type": "file", "file": {"filename": "tone.wav", "file_data": SOUND_URL}}
RESPONSE_IMAGE = {"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"}
RESPONSE_FILE = {"type": "input_file", "filename": "tone.wav", "file_data": SOUND_URL}


def turns(*parts: dict[str, Any]) -> list[Any]:
    """A conversation of one question about media, in the form of chat completions."""
    return [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]


def talk(*parts: dict[str, Any]) -> list[Any]:
    """The same with a system message and an earlier answer."""
    return [
        {"role": "system", "content": "Answer briefly."},
        *turns(*parts),
        {"role": "assistant", "content": "A red square."},
        {"role": "user", "content": "And what colour is it?"},
    ]


def items(*parts: dict[str, Any]) -> list[Any]:
    """A conversation of one question about media, in the form of responses."""
    return [{"role": "user", "content": [*parts, {"type": "input_text", "text": QUESTION}]}]


def said(text: object) -> None:
    """Check that there is an answer."""
    assert isinstance(text, str), f"the answer is {text!r}"
    assert text.strip(), "the answer is empty"
