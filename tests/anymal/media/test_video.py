import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from anymal.errors import MediaCorrupt, MediaEmpty, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video
from encoders.signals import Video
from tests.anymal.media.theora import theora

CONTAINERS = [
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "mpeg4", "yuv420p"),
    ("mov", "libx264", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("matroska", "libx264", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("avi", "libx264", "yuv420p"),
    ("gif", "gif", "rgb8"),
]
# What recorders, cameras and old phones write; most say nothing of their length.
STREAMS = [
    ("3gp", "mpeg4"),
    ("mpegts", "libx264"),
    ("mpegts", "libx265"),
    ("mpegts", "mpeg2video"),
    ("mpeg", "mpeg1video"),
    ("dvd", "mpeg2video"),
    ("ogg", "libvpx"),
]


def decode(data: bytes, num_frames: int = 8, *, with_audio: bool = False, **limits: int) -> Video:
    source = Source(name="film", data=data)
    return decode_video(source, Limits(**limits), num_frames, with_audio=with_audio)  # type: ignore[arg-type]


def reds(video: Video) -> list[int]:
    """The frames' numbers in the film, told from the red of their lower right corner."""
    return [round(int(frame[-8, -8, 0]) / 12) for frame in video.frames]


@pytest.mark.parametrize(("container", "codec", "pixel_format"), CONTAINERS)
def test_frames_are_spread_evenly(
    container: str, codec: str, pixel_format: str, film: Callable[..., bytes]
) -> None:
    video = decode(film(container, codec, pixel_format=pixel_format), 5)
    assert video.frames.shape == (5, 48, 64, 3)
    assert video.times_s == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8])
    assert video.duration_s == pytest.approx(2.0)
    assert video.audio is None
    if container != "gif":  # whose palette has eight reds
        assert reds(video) == [2, 6, 10, 14, 18]


@pytest.mark.parametrize("container", ["mp4", "avi", "webm"])
def test_a_stretch_is_spread_evenly(container: str, film: Callable[..., bytes]) -> None:
    codec = {"webm": "libvpx"}.get(container, "mpeg4")
    source = Source(name="film", data=film(container, codec))  # frames 0 to 19, ten a second
    video = decode_video(source, Limits(), 4, start_s=0.8, end_s=1.6)
    assert reds(video) == [9, 11, 13, 15]
    assert video.times_s == pytest.approx([0.1, 0.3, 0.5, 0.7], abs=1e-3)
    assert video.duration_s == pytest.approx(0.8, abs=1e-3)
    # Beyond the film's end, it ends there; inside one frame, that frame is shown.
    assert reds(decode_video(source, Limits(), 2, start_s=1.6, end_s=60)) == [17, 19]
    assert reds(decode_video(source, Limits(), 8, start_s=0.52, end_s=0.58)) == [5]
    with pytest.raises(MediaEmpty, match=r"2\.00 seconds, of which none is after 2"):
        decode_video(source, Limits(), 4, start_s=2, end_s=3)


@pytest.mark.parametrize(("container", "codec"), STREAMS)
def test_other_containers_are_read(container: str, codec: str, film: Callable[..., bytes]) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    sound = {"mpegts": "aac", "mpeg": "mp2", "dvd": "ac3", "3gp": "aac"}.get(container)
    data = film(container, codec, num_frames=50, rate=25, sound=sound, **quiet)
    video = decode(data, 5, with_audio=True)
    assert video.frames.shape == (5, 48, 64, 3)
    assert video.times_s == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8], abs=0.05)
    assert [round(int(frame[-8, -8, 0]) / 4.8) for frame in video.frames] == pytest.approx(
        [5, 15, 25, 35, 45], abs=2.5
    )
    assert (video.audio is None) == (sound is None)


def test_the_packets_of_camcorders_are_read(film: Callable[..., bytes]) -> None:
    plain = film("mpegts")
    packets = (plain[start : start + 188] for start in range(0, len(plain), 188))
    timed = b"".join(number.to_bytes(4, "big") + packet for number, packet in enumerate(packets))
    assert decode(timed).frames.shape == (8, 48, 64, 3)


def test_variable_frame_rate_is_sampled_by_time(film: Callable[..., bytes]) -> None:
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, *range(20, 70, 5)]
    video = decode(film(times=times), 4)
    assert video.times_s * 10 == pytest.approx([8, 20, 40, 55])
    assert reds(video) == [8, 10, 14, 17]


def test_what_an_edit_list_cuts_away_is_not_shown(
    film: Callable[..., bytes], tmp_path: Path
) -> None:
    path = tmp_path / "cut.mp4"
    with (
        av.open(io.BytesIO(film(bf="0", g="20", sc_threshold="0"))) as whole,
        av.open(path, "w", options={"avoid_negative_ts": "disabled"}) as cut,
    ):
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.pts -= 5 * packet.duration
                packet.dts -= 5 * packet.duration
                packet.stream = stream
                cut.mux(packet)
    video = decode(path.read_bytes(), 3)
    assert video.duration_s == pytest.approx(1.5)
    assert reds(video) == [7, 12, 17]


def test_a_short_film_gives_each_frame_once(film: Callable[..., bytes]) -> None:
    video = decode(film(num_frames=3), 8)
    assert video.times_s == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.parametrize(("rotation", "corner"), [(0, "tl"), (90, "bl"), (180, "br"), (-90, "tr")])
def test_rotation_marks_are_applied(rotation: int, corner: str, film: Callable[..., bytes]) -> None:
    video = decode(film(rotation=rotation), 2)
    assert video.frames.shape[1:] == ((48, 64, 3) if rotation in (0, 180) else (64, 48, 3))
    frame = video.frames[0]
    corners = {"tl": frame[4, 4], "tr": frame[4, -4], "bl": frame[-4, 4], "br": frame[-4, -4]}
    assert [name for name, pixel in corners.items() if pixel[1] > 150] == [corner]


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
def test_only_the_needed_stretches_are_decoded(container: str, film: Callable[..., bytes]) -> None:
    data = film(container, num_frames=20, g="5", bf="0", sc_threshold="0")
    with av.open(io.BytesIO(data)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.size]
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 5, 10, 15]
    scrambled = bytearray(data)
    for number in (5, 6, 7, 8, 9, 12, 13, 14, 18, 19):
        # Past the length and type of the unit, so that demuxing still succeeds.
        start = data.find(bytes(packets[number])) + 6
        scrambled[start : start + packets[number].size - 6] = bytes(packets[number].size - 6)
    video = decode(bytes(scrambled), 3)
    assert reds(video) == [3, 10, 16]
    assert (video.frames == decode(data, 3).frames).all()


def test_the_sound_comes_along_when_asked_for(film: Callable[..., bytes]) -> None:
    data = film(sound="aac")
    assert decode(data).audio is None
    audio = decode(data, with_audio=True).audio
    assert audio is not None
    assert audio.duration_s == pytest.approx(2, abs=0.05)
    assert decode(film(), with_audio=True).audio is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_still_image_is_a_film_of_one_frame(kind: str, picture: Callable[..., bytes]) -> None:
    video = decode(picture(kind), with_audio=True)
    assert video.frames.shape == (1, 40, 60, 3)
    assert video.times_s.tolist() == [0.0]
    assert tuple(video.frames[0, 30, 30] // 200) == (0, 0, 1)


def test_gif_transparency_is_laid_over_white(picture: Callable[..., bytes]) -> None:
    pages = [PIL.Image.new("P", (8, 8), 0) for _ in range(2)]
    for number, page in enumerate(pages):
        page.putpalette([0, 0, 0, 255, 0, 0])
        page.putpixel((number, 0), 1)
    file = io.BytesIO()
    pages[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=pages[1:],
        transparency=0,
        disposal=2,
        duration=100,
    )
    frames = decode(file.getvalue()).frames
    assert frames.shape == (2, 8, 8, 3)
    assert (frames[:, 4, 4] == 255).all()
    assert frames[0, 0, 0].tolist() == [255, 0, 0]


def test_limits_hold(film: Callable[..., bytes]) -> None:
    data = film()
    with pytest.raises(MediaTooLarge, match="at most 1 seconds"):
        decode(data, max_seconds=1)
    with pytest.raises(MediaTooLarge, match="at most 19"):
        decode(data, max_frames=19)
    with pytest.raises(MediaTooLarge, match="64 x 48"):
        decode(data, max_pixels=64 * 48 - 1)
    with pytest.raises(MediaTooLarge, match="8 frames of 64 x 48 pixels"):
        decode(data, max_sampled_pixels=8 * 64 * 48 - 1)
    assert decode(data, max_frames=20, max_seconds=2, max_sampled_pixels=8 * 64 * 48)


def test_files_without_moving_pictures_are_refused(track: Callable[..., bytes]) -> None:
    with pytest.raises(MediaUnsupported, match="without moving pictures"):
        decode(track())


def test_at_least_one_frame_must_be_asked_for(film: Callable[..., bytes]) -> None:
    with pytest.raises(ValueError, match="num_frames"):
        decode(film(), 0)


@pytest.mark.parametrize(("container", "codec", "pixel_format"), CONTAINERS)
def test_every_cut_is_noticed(
    container: str, codec: str, pixel_format: str, film: Callable[..., bytes]
) -> None:
    data = film(container, codec, pixel_format=pixel_format)
    for share in (0.01, 0.2, 0.5, 0.9, 0.99):
        with pytest.raises((MediaCorrupt, MediaUnsupported)):
            decode(data[: int(len(data) * share)])


def test_scrambled_frames_are_noticed(film: Callable[..., bytes]) -> None:
    data = film("avi", "mpeg4")
    generator = np.random.default_rng(0)
    start = data.find(b"movi") + 12
    middle = generator.integers(0, 256, len(data) // 2, dtype=np.uint8).tobytes()
    with pytest.raises(MediaCorrupt):
        decode(data[:start] + middle + data[start + len(middle) :])


def test_theora_is_read() -> None:
    video = decode(theora())
    assert video.times_s.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    reds = video.frames[:, 8, 8, 0].tolist()
    assert reds == pytest.approx([0, 40, 80, 120, 160, 200], abs=10)
    with pytest.raises(MediaCorrupt, match="cut short"):
        decode(theora()[:-60])
