"""Which track of a film is shown, and in which shape and position."""

import io
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from anymal.errors import MediaTooLarge
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video
from encoders.signals import Video

ONE = 65536


def decode(data: bytes, num_frames: int = 8, **limits: int) -> Video:
    return decode_video(Source(name="film", data=data), Limits(**limits), num_frames)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("matrix", "corner", "is_turned"),
    [
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, 2**30), "tr", False),
        ((ONE, 0, 0, 0, -ONE, 0, 0, 0, 2**30), "bl", False),
        ((0, ONE, 0, ONE, 0, 0, 0, 0, 2**30), "tl", True),
        ((0, -ONE, 0, -ONE, 0, 0, 0, 0, 2**30), "br", True),
    ],
)
def test_mirrors_are_applied(
    matrix: tuple[int, ...], corner: str, is_turned: bool, film: Callable[..., bytes]
) -> None:
    video = decode(film("mov", matrix=matrix), 2)
    assert video.frames.shape[1:] == ((64, 48, 3) if is_turned else (48, 64, 3))
    frame = video.frames[0]
    corners = {"tl": frame[4, 4], "tr": frame[4, -4], "bl": frame[-4, 4], "br": frame[-4, -4]}
    assert [name for name, pixel in corners.items() if pixel[1] > 150] == [corner]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
@pytest.mark.parametrize(
    ("aspect", "shape"), [(Fraction(2), (48, 128, 3)), (Fraction(1, 2), (96, 64, 3))]
)
def test_pixels_that_are_not_square_are_stretched(
    container: str, aspect: Fraction, shape: tuple[int, ...], film: Callable[..., bytes]
) -> None:
    frames = decode(film(container, aspect=aspect)).frames
    assert frames.shape[1:] == shape
    assert frames[0, shape[0] // 2 - 8, shape[1] // 2 - 8, 1] > 150
    assert frames[0, shape[0] // 2 + 8, shape[1] // 2 + 8, 1] < 100


def test_the_size_shown_is_what_counts(film: Callable[..., bytes]) -> None:
    data = film(aspect=Fraction(2))
    with pytest.raises(MediaTooLarge, match="128 x 48"):
        decode(data, max_pixels=128 * 48 - 1)
    with pytest.raises(MediaTooLarge, match="8 frames of 128 x 48 pixels"):
        decode(data, max_sampled_pixels=8 * 128 * 48 - 1)
    with pytest.raises(MediaTooLarge, match="640 x 48"):
        decode(film(aspect=Fraction(10)), max_aspect_ratio=10)


def test_frames_of_another_size_are_scaled_to_the_first(
    film: Callable[..., bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A call that a browser records changes its size with the line, or as the phone is turned.
    parts = [film("webm", "libvpx", size=size) for size in ((64, 48), (128, 96), (48, 64))]
    path = tmp_path / "call.webm"
    with av.open(path, "w") as call:
        stream = None
        for number, part in enumerate(parts):
            with av.open(io.BytesIO(part)) as opened:
                stream = stream or call.add_stream_from_template(opened.streams.video[0])
                for packet in opened.demux(video=0):
                    if packet.size:
                        packet.pts += 2000 * number
                        packet.dts = packet.pts
                        packet.stream = stream
                        call.mux(packet)
    with caplog.at_level(logging.INFO, "anymal"):
        video = decode(path.read_bytes(), 6)
    assert video.frames.shape == (6, 48, 64, 3)
    assert (video.frames[:4, 10, 20, 1] > 150).all()
    assert (video.frames[4:, 10, 24, 1] > 150).all()
    # The upright frames lie between black bars.
    assert not video.frames[4:, :, :10].any()
    assert "scaled to the first, 64 x 48" in caplog.text


@pytest.mark.parametrize(
    ("marked", "size"), [((0,), (32, 16)), ((1,), (64, 48)), ((0, 1), (64, 48)), ((), (64, 48))]
)
def test_the_default_or_else_the_largest_track_is_shown(
    marked: tuple[int, ...], size: tuple[int, int], film: Callable[..., bytes], tmp_path: Path
) -> None:
    path = tmp_path / "film.mkv"
    parts = [av.open(io.BytesIO(part)) for part in (film(size=(32, 16)), film())]
    with av.open(path, "w") as output:
        tracks = [output.add_stream_from_template(part.streams.video[0]) for part in parts]
        for number, track in enumerate(tracks):
            track.disposition = 1 if number in marked else 0
        for part, track in zip(parts, tracks, strict=True):
            for packet in part.demux(video=0):
                if packet.size:
                    packet.stream = track
                    output.mux(packet)
    assert decode(path.read_bytes()).frames.shape[1:3] == size[::-1]


def test_a_track_in_an_unknown_codec_is_passed_over(
    film: Callable[..., bytes], tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    with av.open(path, "w") as output:
        tracks = []
        for codec in ("mpeg4", "libx264"):
            track = output.add_stream(codec, rate=10)
            track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
            tracks.append(track)
        for _ in range(5):
            for track in tracks:
                output.mux(track.encode(av.VideoFrame(64, 48, "yuv420p")))
        for track in tracks:
            output.mux(track.encode())
    data = path.read_bytes().replace(b"mp4v", b"zzz1")
    assert decode(data).frames.shape == (5, 48, 64, 3)
