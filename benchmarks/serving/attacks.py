"""Requests that are meant to harm a service: each small for who sends it, and large for who serves.

Does not send them and does not judge what becomes of them; `benchmarks.serve_abuse` does.
"""

import base64
import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import PIL.Image
import soundfile

CHAT = "/v1/chat/completions"
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to harm a service, repeated by one client.

    Attributes:
        name: In the results.
        body: What is sent.
        path: Where to.
        headers: Beside the usual ones.
        way: What the client does: read the answer, hang up soon after asking, send only a part of
            the body and hold the connection, or leave the answer unread.
        clients: How many do it at once.
    """

    name: str
    body: bytes
    path: str = CHAT
    headers: tuple[tuple[str, str], ...] = ()
    way: Literal["read", "hang up", "hold", "unread"] = "read"
    clients: int = 1


def all_attacks() -> Iterator[Attack]:
    """Those of the review of 2026-11-30, and older ones."""
    yield from _many_mistakes()
    yield from _long_words()
    yield from _large_media()
    yield from _floods()
    yield from _manners()


def _many_mistakes() -> Iterator[Attack]:
    """Bodies with very many mistakes: a list of all of them takes gigabytes."""
    bodies = {
        "messages of empty objects": b'{"messages":[' + b"{}," * (10 * MIB // 3) + b"{}]}",
        "messages of empty lists": b'{"messages":[' + b"[]," * (10 * MIB // 3) + b"[]]}",
        "stop of numbers": b'{"messages":[],"stop":[' + b"1," * MIB + b"1]}",
        "deep lists": b'{"messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "unknown keys": json.dumps({f"key{n}": n for n in range(170_000)}).encode(),
    }
    for name, body in bodies.items():
        yield Attack(name=name, body=body)
    samples = b'{"input":{"type":"input_imu","input_imu":{"samples":[' + b'"",' * (2 * MIB // 3)
    yield Attack(name="samples of strings", body=samples + b'""]}}}', path="/v1/align")


def _long_words() -> Iterator[Attack]:
    """Words without end, as one text and as very many."""
    yield Attack(name="10 MB of words", body=_asking("the red circle " * (10 * MIB // 15)))
    yield Attack(name="10 MB of one letter", body=_asking("a" * (10 * MIB)))
    messages = [{"role": "user", "content": "a"}] * 200_000
    yield Attack(name="200,000 messages", body=json.dumps({"messages": messages}).encode())


def _large_media() -> Iterator[Attack]:
    """Small files that take long or much memory to decode, and whole ones whose caller leaves."""
    picture = _image_part(flat_png())
    yield Attack(name="40 flat pictures", body=_asking([picture] * 40))
    scans = _image_part(scanned_jpeg())
    yield Attack(name="5,000 scans", body=_asking([scans]))
    yield Attack(name="5,000 scans, hung up", body=_asking([scans]), way="hang up", clients=2)
    yield Attack(name="flat picture, hung up", body=_asking([picture]), way="hang up", clients=2)
    yield Attack(name="400 large frames", body=_asking([_video_part(large_gif())]))
    yield Attack(name="50 million frames", body=_asking([_video_part(lying_mp4())]))
    yield Attack(name="silence at 655,350 Hz", body=_asking([_audio_part(fast_flac())]))
    lines = b"ax,ay,az\r" + b"1,2,3\r" * (20 * MIB // 6)
    recording = {"data": _base64(lines), "format": "csv", "rate_hz": 50}
    imu = {"type": "input_imu", "input_imu": recording}
    yield Attack(name="lines that end in CR", body=_asking([imu]))


def _floods() -> Iterator[Attack]:
    """More than a share of the answers."""
    greedy = {"n": 8, "ignore_eos": True, "max_tokens": 2000, "temperature": 1}
    yield Attack(name="n = 8 without end", body=_asking([_small_image()], **greedy), clients=4)
    stream = _asking([_small_image()], stream=True, **greedy)
    yield Attack(name="answers left unread", body=stream, way="unread", clients=4)
    yield Attack(name="answers hung up", body=stream, way="hang up", clients=2)


def _manners() -> Iterator[Attack]:
    """Half bodies, wrong keys, and values at the edge of what is allowed."""
    yield Attack(name="half bodies of 90 MiB", body=bytes(90 * MIB), way="hold", clients=8)
    for key, value in {"temperature": 5e-324, "top_p": 5e-324, "repetition_penalty": 1e-40}.items():
        body = _asking([_small_image()], max_tokens=4, **{"temperature": 1, key: value})
        yield Attack(name=f"{key} {value}", body=body)
    wrong = (("Authorization", "Bearer wrong"),)
    yield Attack(name="wrong keys", body=_asking("hello"), headers=wrong, clients=2)
    forged = (("X-Request-Id", "z status=200 caller=ops level=info"), ("Host", "evil.example"))
    short = _asking([_small_image()], max_tokens=4)
    yield Attack(name="forged headers", body=short, headers=forged)


# --- files ----------------------------------------------------------------------------------------


def flat_png(side: int = 7900) -> bytes:
    """Sixty million white pixels in eight kilobytes."""
    file = io.BytesIO()
    PIL.Image.new("1", (side, side), 1).save(file, "png")
    return file.getvalue()


def scanned_jpeg(side: int = 7900, scans: int = 5000) -> bytes:
    """A progressive picture whose last, empty scan comes again and again."""
    file = io.BytesIO()
    PIL.Image.new("L", (side, side), 128).save(file, "jpeg", progressive=True)
    data = file.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * scans + data[-2:]


def large_gif(side: int = 4000, frames: int = 400) -> bytes:
    """A film of one picture; all frames but the first are one pixel."""
    file = io.BytesIO()
    PIL.Image.new("P", (side, side)).save(file, "gif")
    data = file.getvalue()
    pixel = b"\x21\xf9\x04\x00\x02\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    return data[:-1] + (pixel + b"\x02\x02\x44\x01\x00") * frames + b";"


def fast_flac(rate: int = 655_350, seconds: int = 599) -> bytes:
    """Ten minutes of silence at the highest rate that the format can tell."""
    file = io.BytesIO()
    options: dict[str, Any] = {"samplerate": rate, "channels": 1, "format": "FLAC"}
    with soundfile.SoundFile(file, "w", **options) as sound:
        second = np.zeros(rate, np.int16)
        for _ in range(seconds):
            sound.write(second)
    return file.getvalue()


def lying_mp4(frames: int = 50_000_000) -> bytes:
    """A film of a kilobyte whose sample table tells of frames of one byte each."""

    def box(kind: bytes, *content: bytes) -> bytes:
        body = b"".join(content)
        return struct.pack(">I", len(body) + 8) + kind + body

    def full(kind: bytes, *content: bytes) -> bytes:
        return box(kind, bytes(4), *content)

    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    entry = (
        bytes(6)
        + struct.pack(">H", 1)
        + bytes(16)
        + struct.pack(">HHIIIH", 64, 64, 72 << 16, 72 << 16, 0, 1)
    )
    description = box(b"mp4v", entry + bytes(32) + struct.pack(">Hh", 24, -1))
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), description),
        full(b"stts", struct.pack(">III", 1, frames, 1)),
        full(b"stsc", struct.pack(">IIII", 1, 1, frames, 1)),
        full(b"stsz", struct.pack(">II", 1, frames)),
        full(b"stco", struct.pack(">II", 1, 48)),
    )
    reference = full(b"dref", struct.pack(">I", 1), struct.pack(">I4sI", 12, b"url ", 1))
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIII", 0, 0, 1000, frames, 0)),
        full(b"hdlr", bytes(4), b"vide", bytes(13)),
        box(b"minf", full(b"vmhd", bytes(8)), box(b"dinf", reference), table),
    )
    track = full(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, frames), bytes(16), matrix, bytes(8))
    header = full(b"mvhd", struct.pack(">IIII", 0, 0, 1000, frames), bytes(80))
    film = box(b"moov", header, box(b"trak", track, media))
    return box(b"ftyp", b"isom", bytes(4), b"isom") + film + box(b"mdat", bytes(64))


# --- bodies ---------------------------------------------------------------------------------------


def _asking(content: Any, **options: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}], **options}).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _small_image() -> dict[str, Any]:
    file = io.BytesIO()
    PIL.Image.new("RGB", (64, 64), (200, 30, 30)).save(file, "png")
    return _image_part(file.getvalue())


def _url_of(kind: str, data: bytes) -> dict[str, str]:
    return {"url": f"data:{kind};base64,{_base64(data)}"}


def _image_part(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": _url_of("image/png", data)}


def _video_part(data: bytes) -> dict[str, Any]:
    return {"type": "video_url", "video_url": _url_of("video/mp4", data)}


def _audio_part(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": _base64(data), "format": "flac"}}
