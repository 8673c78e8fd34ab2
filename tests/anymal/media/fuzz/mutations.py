"""Damage to a file, as it happens and as an attacker does it; the seed of a case makes it again.

What guards a file against damage - checksums of PNG and OGG - is made right again in half of the
cases, so that decoders read on behind it.
"""

import re
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np

MOST_BYTES = 200_000
_NAME = re.compile(rb"[A-Za-z0-9 ]{4}")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_ODD_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ODD_WORDS = (
    *(b"", b"nan", b"-inf", b"1e308", b"-0", b"9" * 400, b"0x10", b"1_0", b"true", b"null", b'"'),
    *(b",", b";", b"\t", b"\n", b"[", b"]", b"{", b"}", b":", b"\0", b"\xff", b"\xc3\xa9", b"x"),
    *(
        b"12:30:00",
        b"2026-02-30",
        b"1970-01-01T00:00:00Z",
        b"(m/s^2)",
        b"deg/s",
        b"[g]",
        b"%",
        b"#",
    ),
)


def mutated(seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """One of the seeds, damaged in one to six places."""
    data = bytearray(seeds[rng.integers(len(seeds))])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        # Most damage to bytes makes a text unreadable, so a text is mostly changed word by word.
        changes = _OF_TEXT if data.isascii() and rng.random() < 0.8 else _OF_BYTES
        change = changes[rng.integers(len(changes))]
        data = change(data or bytearray(1), seeds, rng)
    whole = bytes(data[:MOST_BYTES])
    return _resealed(whole) if rng.random() < 0.5 else whole


def _flip(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def _overwrite(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    place, length = _place(data, rng), int(rng.integers(1, 64))
    data[place : place + length] = (bytes(length), b"\xff" * length, rng.bytes(length))[
        rng.integers(3)
    ]
    return data


def _cut(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    return data[: _place(data, rng)]


def _cut_out(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    place, length = _place(data, rng), int(rng.integers(1, 200))
    return data[:place] + data[place + length :]


def _insert(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    place = _place(data, rng)
    return data[:place] + rng.bytes(int(rng.integers(1, 60))) + data[place:]


def _repeat(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    place, length = _place(data, rng), int(rng.integers(1, 2000))
    return data[:place] + data[place : place + length] * int(rng.integers(1, 5)) + data[place:]


def _splice(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    other = bytearray(seeds[rng.integers(len(seeds))])
    place, start = _place(data, rng), _place(other, rng)
    return data[:place] + other[start : start + int(rng.integers(1, 4000))] + data[place:]


def _join(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    return data + seeds[rng.integers(len(seeds))]


def _lie(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    """Another number where one may stand: before or behind a name of four letters, or in front."""
    size = int(rng.choice((1, 2, 4, 8)))
    place = _place(data, rng)
    names = [found.start() for found in _NAME.finditer(bytes(data[:MOST_BYTES]))]
    if names and rng.random() < 0.7:
        place = names[rng.integers(len(names))] + int(rng.choice((-4, 4, 8, 12, 16)))
    place = min(max(0, place), max(0, len(data) - size))
    order = ("little", "big")[rng.integers(2)]
    before = int.from_bytes(data[place : place + size], order)  # type: ignore[arg-type]
    found = (before - 1, before + 1, before * 2, before // 2, before * 1000, len(data))
    number = (*found, *_ODD_NUMBERS)[rng.integers(len(found) + len(_ODD_NUMBERS))]
    data[place : place + size] = (number % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    return data


def _reword(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    """Another word for a number of a text, or a word too many."""
    word = _ODD_WORDS[rng.integers(len(_ODD_WORDS))]
    numbers = list(_NUMBER.finditer(bytes(data[:4000])))
    if not numbers or rng.random() < 0.3:
        place = _place(data, rng)
        return data[:place] + word + data[place:]
    start, end = numbers[rng.integers(len(numbers))].span()
    return data[:start] + word + data[end:]


def _reline(data: bytearray, seeds: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    """A line of a text left out, doubled, or moved."""
    lines = bytes(data).split(b"\n")
    first, second = rng.integers(len(lines), size=2)
    line = lines.pop(first)
    for _ in range(rng.integers(3)):
        lines.insert(min(second, len(lines)), line)
    return bytearray(b"\n".join(lines))


_OF_TEXT: tuple[Callable[..., bytearray], ...] = (_reword, _reword, _reline)
_OF_BYTES: tuple[Callable[..., bytearray], ...] = (
    *(_flip, _overwrite, _cut, _cut_out, _insert, _repeat, _splice, _join),
    # Decoders believe numbers most.
    *(_lie, _lie, _lie, _lie),
)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, or as often in the head."""
    return int(rng.integers(len(data) if rng.random() < 0.5 else min(400, len(data))))


def _resealed(data: bytes) -> bytes:
    if data.startswith(b"\x89PNG"):
        return _png(data)
    if data.startswith(b"OggS"):
        return _ogg(data)
    return data


def _png(data: bytes) -> bytes:
    pieces, place = [data[:8]], 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        body = data[place + 4 : place + 8 + size]
        pieces.append(data[place : place + 4] + body)
        if place + 12 + size > len(data):
            return b"".join(pieces)
        pieces.append(struct.pack(">I", zlib.crc32(body)))
        place += 12 + size
    return b"".join([*pieces, data[place:]])


def _ogg(data: bytes) -> bytes:
    whole, place = bytearray(data), 0
    while 0 <= place <= len(data) - 27:
        end = place + 27 + data[place + 26]
        end += sum(data[place + 27 : end])
        page = data[place : place + 22] + bytes(4) + data[place + 26 : end]
        if end <= len(data):
            whole[place + 22 : place + 26] = struct.pack("<I", _ogg_checksum(page))
        place = data.find(b"OggS", place + 1)
    return bytes(whole)


def _ogg_checksum(page: bytes) -> int:
    found = 0
    for byte in page:
        found = (found << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[found >> 24 ^ byte]
    return found


def _ogg_entry(number: int) -> int:
    found = number << 24
    for _ in range(8):
        found = (found << 1 ^ (0x04C11DB7 if found & 0x80000000 else 0)) & 0xFFFFFFFF
    return found


_OGG_TABLE = [_ogg_entry(number) for number in range(256)]
