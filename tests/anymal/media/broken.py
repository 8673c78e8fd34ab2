"""Bytes that are damaged, cut short, or promise more than they hold."""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np


def noise(num_bytes: int) -> bytes:
    return b"\x00\x01" + np.random.default_rng(0).bytes(num_bytes)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def huge_gif() -> bytes:
    screen = struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x01\x00\x00"
    return b"GIF89a" + screen + bytes(6) + frame + b";"


def long_wav() -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, 1000, 1000, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 700_000)
    return b"RIFF" + struct.pack("<I", len(body) + 700_000) + body + bytes(700_000)


def npy_header(text: str) -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


def huge_avi(data: bytes, *, is_open_about_it: bool) -> bytes:
    """Frames of 30,000 x 30,000 pixels, which the film's header admits or not."""
    if is_open_about_it:
        place = data.find(b"strf") + 12
        data = data[:place] + struct.pack("<II", 30_000, 30_000) + data[place + 8 :]
    place = data.find(b"\xff\xc0") + 5
    while place > 5:
        data = data[:place] + struct.pack(">HH", 30_000, 30_000) + data[place + 4 :]
        place = data.find(b"\xff\xc0", place) + 5
    return data


def parquet(columns: dict[str, Any]) -> bytes:
    import pandas as pd

    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file)
    return file.getvalue()


def packed(method: int, *, is_damaged: bool = False) -> bytes:
    """An archive of one array, packed in one of ZIP's ways."""
    rows, file = io.BytesIO(), io.BytesIO()
    np.save(rows, np.random.default_rng(0).normal(size=(99, 6)))
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("samples.npy", rows.getvalue())
    data = bytearray(file.getvalue())
    if is_damaged:
        data[100:200] = bytes(100)
    return bytes(data)
