"""Only media that are missing make a cut; what stands behind a file is no part of it."""

import io
from collections.abc import Callable

import av
import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.audio import decode_audio
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video
from tests.anymal.media.sounds import TAG, by_ffmpeg, id3, stored, tone, without_length

LIMITS = Limits()
BEHIND = [TAG, id3(), b"trailing words, as servers add them", bytes(999), b"\xff\x00\x81" * 99]
CONTAINERS = [
    ("ipod", "aac"),
    ("mov", "pcm_s16le"),
    ("caf", "pcm_s16le"),
    ("caf", "alac"),
    ("flac", "flac"),
    ("ogg", "flac"),
    ("ogg", "libopus"),
    ("adts", "aac"),
]


def seconds(data: bytes) -> float:
    return decode_audio(Source(name="sound", data=data), LIMITS).duration_s


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_bytes_behind_a_sound_are_ignored(container: str, codec: str, behind: bytes) -> None:
    data = by_ffmpeg(container, codec, tone(rate_hz=48000), 48000)
    assert seconds(data + behind) == seconds(data) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("avi", "mpeg4")])
def test_bytes_behind_a_film_are_ignored(
    container: str, codec: str, behind: bytes, film: Callable[..., bytes]
) -> None:
    data = film(container, codec)
    found = decode_video(Source(name="film", data=data + behind), LIMITS)
    whole = decode_video(Source(name="film", data=data), LIMITS)
    assert np.array_equal(found.frames, whole.frames)


@pytest.mark.parametrize(("container", "codec"), CONTAINERS[:6])
def test_every_cut_is_noticed(container: str, codec: str) -> None:
    data = by_ffmpeg(container, codec, tone(rate_hz=48000), 48000)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(MediaCorrupt):
            seconds(data[: int(len(data) * share)])


@pytest.mark.parametrize("lost", [1, 30, 1001, 1500])
@pytest.mark.parametrize("kind", ["mp3", "mp2", "adts"])
def test_a_last_frame_that_is_not_whole_is_a_cut(kind: str, lost: int) -> None:
    data = framed(kind)
    assert seconds(data) > 1.4
    with pytest.raises(MediaCorrupt, match="cut short"):
        seconds(data[:-lost])


@pytest.mark.parametrize("kind", ["mp3", "mp2", "adts"])
def test_what_begins_within_a_frame_may_end_within_one(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert seconds(framed(kind)[20:-20]) == pytest.approx(1.5, abs=0.15)
    assert "the last frame is cut, as the first was" in caplog.text


def framed(kind: str) -> bytes:
    """A sound of frames that states no length."""
    if kind == "mp3":
        return without_length(stored("MP3", tone(), "MPEG_LAYER_III"))
    codec = "aac" if kind == "adts" else kind
    return by_ffmpeg(kind, codec, tone(rate_hz=48000), 48000)


@pytest.mark.parametrize(("container", "codec"), CONTAINERS[:4])
def test_joined_files_that_a_decoder_would_leave_are_refused(container: str, codec: str) -> None:
    data = by_ffmpeg(container, codec, tone(rate_hz=48000), 48000)
    with pytest.raises(MediaUnsupported, match="several files joined to one"):
        seconds(data * 2)


@pytest.mark.parametrize(("container", "codec"), CONTAINERS[4:])
def test_joined_files_of_frames_are_read_to_the_last(container: str, codec: str) -> None:
    data = by_ffmpeg(container, codec, tone(rate_hz=48000), 48000)
    assert seconds(data * 2) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("matroska", "libx264"), ("webm", "libvpx"), ("mpeg", "mpeg1video"), ("mp4", "libx264")],
)
def test_joined_films_are_refused(container: str, codec: str, film: Callable[..., bytes]) -> None:
    data = film(container, codec, rate=25)
    with pytest.raises(MediaUnsupported, match="joined to one"):
        decode_video(Source(name="film", data=data * 2), LIMITS)


@pytest.mark.parametrize(("container", "codec"), [("avi", "mpeg4"), ("gif", "gif")])
def test_joined_films_without_times_are_read_to_the_last(
    container: str, codec: str, film: Callable[..., bytes]
) -> None:
    data = film(container, codec, pixel_format="rgb8" if codec == "gif" else "yuv420p")
    assert decode_video(Source(name="film", data=data * 2), LIMITS).duration_s == pytest.approx(4)


class Pipe(io.RawIOBase):
    """Somewhere to write to, where no writer can go back."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += bytes(data)
        return len(data)


def recorded(container: str) -> bytes:
    """A film as recorders write it, whose whole length nothing states."""
    pipe = Pipe()
    options = {"live": "1"} if container == "webm" else {}
    with av.open(pipe, "w", format=container, options=options) as output:
        codec = "libvpx" if container == "webm" else "mpeg2video"
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            pixels = np.full((48, 64, 3), 5 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        output.mux(stream.encode())
    return bytes(pipe.data)


@pytest.mark.parametrize("container", ["webm", "mpegts"])
def test_a_recording_that_was_cut_is_noticed(container: str) -> None:
    data = recorded(container)
    film = decode_video(Source(name="film", data=data), LIMITS)
    assert film.duration_s == pytest.approx(2, abs=0.05)
    for lost in (1, 3, len(data) // 2 + 7):
        with pytest.raises(MediaCorrupt, match="cut short"):
            decode_video(Source(name="film", data=data[:-lost]), LIMITS)
    for behind in BEHIND:
        found = decode_video(Source(name="film", data=data + behind), LIMITS)
        assert found.duration_s == film.duration_s


def test_a_gif_of_more_parts_than_files_have_is_refused(picture: Callable[..., bytes]) -> None:
    gif = picture("GIF")
    place = 13 + (3 << (gif[10] & 7) + 1)
    for words in (b"\x21\xfe\1a\0" * 200_000, b"\x21\xfe" + b"\1a" * 350_000 + b"\0"):
        source = Source(name="words.gif", data=gif[:place] + words + gif[place:])
        with pytest.raises(MediaTooLarge, match="more than 300,000 parts"):
            decode_image(source, LIMITS)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"\0\0\0\x10ftypisom\0\0\0\0", b"\0\0\0\x08free"),
        (b"RIFF\xff\xff\xff\x00AVI ", b"JUNK\0\0\0\0"),
        (b"caff\0\1\0\0", b"free" + bytes(8)),
    ],
)
def test_more_parts_than_files_have_are_refused(head: bytes, part: bytes) -> None:
    source = Source(name="film", data=head + part * 350_000)
    with pytest.raises(MediaTooLarge, match="more than 300,000 parts"):
        decode_audio(source, LIMITS)
