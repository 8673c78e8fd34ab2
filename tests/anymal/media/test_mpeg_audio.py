import numpy as np
import pytest

from anymal.media.formats import detect
from anymal.media.mpeg_audio import find_frames, id3_length
from tests.anymal.media.sounds import by_ffmpeg, id3, stored, tone

AAC = by_ffmpeg("adts", "aac", tone(), 16000)
MP3 = by_ffmpeg("mp3", "libmp3lame", tone(), 16000)
MP3 = MP3[id3_length(MP3) :]
MP2 = by_ffmpeg("mp2", "mp2", tone(rate_hz=48000), 48000)


def test_tags_are_measured() -> None:
    assert id3_length(b"RIFF") == 0
    assert id3_length(id3(300) + id3(5) + b"ID3") == 325
    assert id3_length(b"ID3\x04\0\x10\0\0\0\x05" + bytes(15)) == 25


@pytest.mark.parametrize(("key", "data"), [("aac", AAC), ("mp3", MP3), ("mp3", MP2)])
@pytest.mark.parametrize("front", [b"", bytes(3), bytes(100_000), id3(), id3() + bytes(50)])
def test_frames_are_found_behind_tags_and_zeros(key: str, data: bytes, front: bytes) -> None:
    found = detect(front + data)
    assert found.key == key
    assert (front + data)[found.start :].endswith(data)


@pytest.mark.parametrize(("key", "data"), [("aac", AAC), ("mp3", MP3), ("mp3", MP2)])
def test_frames_are_found_within_a_stream(key: str, data: bytes) -> None:
    for cut in range(1000, 1050):
        assert detect(data[cut:]).key == key
    mark = "a mark of UTF-16".encode("utf-16")
    assert detect(mark).key == "utf-16"
    assert detect(mark[:2] + data).key == key


def test_what_stands_behind_a_tag_decides() -> None:
    for kind, key in (("FLAC", "flac"), ("WAV", "wav"), ("AIFF", "aiff")):
        found = detect(id3() + stored(kind, tone(0.1)))
        assert (found.key, found.start) == (key, 310)


def test_noise_has_no_frames() -> None:
    for seed in range(20):
        assert find_frames(np.random.default_rng(seed).bytes(70_000)) is None
