"""Sizes in WAV and AIFF files are hints: sound is read whole, or there is an error."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaEmpty, MediaError
from anymal.media.audio import decode_audio
from anymal.media.limits import Limits
from anymal.media.source import Source
from tests.anymal.media.sounds import TAG, by_ffmpeg, id3, stored, tone

SAMPLES = tone(0.5)


def decode(data: bytes) -> np.ndarray:
    return decode_audio(Source(name="sound.wav", data=data), Limits()).samples


@dataclass(kw_only=True)
class Wav:
    """A WAV or an AIFF file in pieces: a size of None is true."""

    kind: str = "WAV"
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    sizes: dict[bytes, int] = field(default_factory=dict)
    file_size: int | None = None
    behind: bytes = b""

    def build(self) -> bytes:
        number = "<I" if self.kind == "WAV" else ">I"
        body = {"WAV": b"WAVE", "AIFF": b"AIFF"}[self.kind]
        for name, piece in self.chunks:
            size = self.sizes.get(name, len(piece))
            body += name + struct.pack(number, size) + piece + bytes(len(piece) % 2)
        size = len(body) if self.file_size is None else self.file_size
        head = b"RIFF" if self.kind == "WAV" else b"FORM"
        return head + struct.pack(number, size) + body + self.behind


def in_pieces(kind: str = "WAV") -> Wav:
    data = stored(kind, SAMPLES)
    names = (b"fmt ", b"data") if kind == "WAV" else (b"COMM", b"SSND")
    chunks = []
    for name in names:
        place = data.find(name)
        size = int.from_bytes(data[place + 4 : place + 8], "little" if kind == "WAV" else "big")
        chunks.append((name, data[place + 8 : place + 8 + size]))
    return Wav(kind=kind, chunks=chunks)


def surgery(file: Wav, rng: np.random.Generator) -> None:
    """Up to three changes that writers, editors and bad disks make."""
    for _ in range(rng.integers(1, 4)):
        change = rng.integers(5)
        if change == 0:
            rng.shuffle(file.chunks)  # type: ignore[arg-type]
        elif change == 1:
            name = bytes(rng.integers(97, 123, 4, dtype=np.uint8))
            junk = (name, rng.bytes(int(rng.integers(0, 3000))))
            file.chunks.insert(int(rng.integers(len(file.chunks) + 1)), junk)
        elif change == 2:
            name, piece = file.chunks[rng.integers(len(file.chunks))]
            file.sizes[name] = lie(len(piece), rng)
        elif change == 3:
            file.file_size = lie(len(file.build()) - 8, rng)
        else:
            file.behind = (TAG, id3(), b"made by hand", bytes(2000), rng.bytes(99))[rng.integers(5)]


def lie(size: int, rng: np.random.Generator) -> int:
    near = int(rng.integers(-600, 600))
    lies = (0, 0xFFFFFFFF, 0x7FFFFFFF, size // 2, size + near, int(rng.integers(2 * size + 8)))
    return max(0, lies[rng.integers(len(lies))])


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_no_surgery_shortens_a_sound_without_an_error(kind: str) -> None:
    whole = decode(stored(kind, SAMPLES))
    num_read = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        file = in_pieces(kind)
        surgery(file, rng)
        try:
            found = decode(file.build())
        except MediaError:
            continue
        num_read += 1
        assert np.array_equal(found[: len(whole)], whole), (seed, file.sizes, file.file_size)
    assert num_read > 100


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDA])
@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_sizes_that_were_never_written_are_read_to_the_end(kind: str, size: int) -> None:
    file = in_pieces(kind)
    file.sizes[file.chunks[-1][0]] = file.file_size = size
    assert len(decode(file.build())) == len(SAMPLES)


@pytest.mark.parametrize("behind", [TAG, id3(), b"made by hand", bytes(9000), b"\x80\x81\x82" * 40])
@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_bytes_behind_the_last_chunk_are_left_out_and_told(
    kind: str, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(decode(stored(kind, SAMPLES) + behind)) == len(SAMPLES)
    assert f"{len(behind):,} bytes behind the sound are left out" in caplog.text


@pytest.mark.parametrize("change", [-40, -8, 1, 8, 36, 5000])
def test_the_size_of_the_file_does_not_matter_where_the_sound_is_whole(change: int) -> None:
    file = in_pieces()
    file.file_size = len(file.build()) - 8 + change
    assert len(decode(file.build())) == len(SAMPLES)


def test_only_missing_sound_is_a_cut() -> None:
    file = in_pieces()
    file.chunks.append((b"LIST", bytes(500)))
    data = file.build()
    assert len(decode(data[:-100])) == len(SAMPLES)
    with pytest.raises(MediaCorrupt, match="cut short at"):
        decode(data[:-600])


def test_a_size_of_the_sound_that_is_too_small_is_no_shorter_sound() -> None:
    file = in_pieces()
    file.sizes[b"data"] = 1000
    with pytest.raises(MediaCorrupt, match="sizes do not explain"):
        decode(file.build())
    file.file_size = 1036
    with pytest.raises(MediaCorrupt, match="sizes do not explain"):
        decode(file.build())


def test_an_odd_chunk_may_lack_the_byte_behind_it() -> None:
    data = stored("WAV", SAMPLES)
    odd = data[:12] + b"note" + struct.pack("<I", 3) + b"abc" + data[12:]
    assert len(decode(odd)) == len(SAMPLES)


def test_joined_files_are_read_to_the_last() -> None:
    data = stored("WAV", SAMPLES)
    assert len(decode(data * 3)) == 3 * len(SAMPLES)
    assert len(decode(stored("AIFF", SAMPLES) * 2)) == 2 * len(SAMPLES)
    piped = in_pieces()
    piped.sizes[b"data"] = piped.file_size = 0xFFFFFFFF
    assert len(decode(piped.build() * 2)) == 2 * len(SAMPLES)
    with pytest.raises(MediaCorrupt, match="stored differently"):
        decode(data + stored("WAV", SAMPLES, "PCM_24"))


@pytest.mark.parametrize("behind", [b"", TAG, b"\x80" * 99])
def test_long_files_of_recorders_are_read(behind: bytes) -> None:
    assert len(decode(stored("RF64", SAMPLES) + behind)) == len(SAMPLES)


def test_a_file_without_sound_is_empty() -> None:
    file = in_pieces()
    file.chunks[1] = (b"data", b"")
    with pytest.raises(MediaEmpty):
        decode(file.build())


def test_a_flood_of_chunks_is_refused(sound: Callable[..., bytes]) -> None:
    file = in_pieces()
    flood = file.build()[:12] + b"JUNK\0\0\0\0" * 200_000
    with pytest.raises(MediaCorrupt):
        decode(flood)


def test_mp3_within_wav_is_read_whole() -> None:
    data = by_ffmpeg("wav", "libmp3lame", tone(), 16000)
    assert len(decode(data)) == pytest.approx(24000, rel=0.07)
    assert len(decode(data * 2)) == pytest.approx(48000, rel=0.07)
