"""What a caller has at hand arrives as a file that says the same."""

import base64
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from anymal.client.attachments import attach
from anymal.errors import ConversationError, MediaEmpty, MediaNotFound, MediaUnsupported
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video


def sent(**media: Any) -> bytes:
    """The bytes of the only part."""
    return base64.b64decode(url_of(**media).partition("base64,")[2], validate=True)


def url_of(inline: bool = True, **media: Any) -> str:
    (part,) = attach(inline=inline, **media)
    url = getattr(part, part.type).url
    assert isinstance(url, str)
    return url


@pytest.mark.parametrize("shape", [(3, 5, 3), (3, 5, 4), (3, 5)])
def test_image_array_is_a_png_of_the_same_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.open(io.BytesIO(sent(image=pixels)))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image), pixels)
    flipped = pixels[:, ::-1]  # not contiguous
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent(image=flipped)))), flipped)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "YCbCr"])
def test_pil_image_keeps_its_colours(mode: str) -> None:
    image = Image.new("RGB", (4, 2), (255, 0, 0)).convert(mode)
    found = Image.open(io.BytesIO(sent(image=image))).convert("RGB")
    assert found.getpixel((0, 0)) == image.convert("RGB").getpixel((0, 0))


@pytest.mark.parametrize("shape", [(51,), (51, 2)])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16", "int32"])
def test_sound_array_is_a_wav_of_the_same_samples(shape: tuple[int, ...], kind: str) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, shape)
    is_whole = kind.startswith("int")
    given = (samples * np.iinfo(kind).max if is_whole else samples).astype(kind)
    for media in ({"audio": (given, 8000)}, {"audio": given, "audio_rate_hz": 8000}):
        found, rate_hz = soundfile.read(
            io.BytesIO(sent(**media)), dtype=kind if is_whole else "float32"
        )
        assert rate_hz == 8000
        assert np.array_equal(found, given.astype(found.dtype))


def test_sound_of_unsigned_bytes_is_silent_at_128() -> None:
    data = sent(audio=(np.array([128, 0, 192], np.uint8), 8000))
    assert soundfile.read(io.BytesIO(data))[0].tolist() == [0, -1, 0.5]


@pytest.mark.parametrize("size", [(16, 24), (5, 7)])
@pytest.mark.parametrize("rate_hz", [0.5, 29.97, 25])
def test_film_array_is_a_film_of_the_same_frames(size: tuple[int, int], rate_hz: float) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, *size, 3), dtype=np.uint8)
    for media in ({"video": (frames, rate_hz)}, {"video": frames, "video_rate_hz": rate_hz}):
        source = Source(name="film", data=sent(**media))
        film = decode_video(source, Limits(), num_frames=6)
        assert np.array_equal(film.frames, frames)
        assert film.times_s == pytest.approx(np.arange(6) / rate_hz)
        assert film.duration_s == pytest.approx(6 / rate_hz)


def test_tensor_is_the_array_that_it_holds() -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(4, 4, 3)
    assert sent(image=pixels) == sent(image=pixels.numpy())
    sound = torch.linspace(-1, 1, 9, requires_grad=True)
    assert sent(audio=(sound, 8000)) == sent(audio=(sound.detach().numpy(), 8000))
    motion = torch.ones(4, 3, dtype=torch.bfloat16)
    assert sent(imu=(motion, 50)) == sent(imu=(np.ones((4, 3), np.float32), 50))
    film = pixels.expand(2, 4, 4, 3)
    assert sent(video=(film, 2)) == sent(video=(film.numpy(), 2))


def test_motion_array_is_the_same_array() -> None:
    samples = np.arange(12.0).reshape(2, 6)
    found = np.load(io.BytesIO(sent(imu=samples, imu_rate_hz=50)))
    assert np.array_equal(found, samples)


def test_motion_table_is_the_same_table() -> None:
    table = pd.DataFrame({"ax": [0.1, 1 / 3], "ay": [0.0, 1.0], "az": [9.8, 9.7]})
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(sent(imu=table))), table)
    timed = table.set_index(pd.Index([0.0, 0.1], name="t_s"))
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(sent(imu=timed)), index_col=0), timed)


@pytest.mark.parametrize("labels", [range(6), [0.5, 1.5, 2.5, 3, 4, 5], list("012345")])
def test_motion_table_without_names_decodes_to_its_values(labels: Any) -> None:
    values = np.random.default_rng(0).normal(size=(9, 6))
    table = pd.DataFrame(values, columns=labels)
    source = Source(name="walk", data=sent(imu=table, imu_rate_hz=50))
    found = decode_imu(source, Limits(), rate_hz=50)
    assert np.array_equal(found.samples, values.astype(np.float32))


def test_motion_table_with_times_alone_named_is_refused() -> None:
    table = pd.DataFrame(np.ones((3, 6)), index=pd.Index([0.0, 0.1, 0.2], name="t_s"))
    with pytest.raises(MediaUnsupported, match="the columns t_s, 0, 1, 2"):
        decode_imu(Source(name="walk", data=sent(imu=table)), Limits())


def test_two_files_of_one_recording_travel_as_one(tmp_path: Path) -> None:
    for folder, name, column in ((".", "acc.csv", "x"), ("gyro", "data.csv", "y")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(f"{column}\n")
    both = f"{tmp_path}/acc.csv, {tmp_path}/gyro/data.csv"
    assert sent(imu=both) == sent(imu=both)
    with zipfile.ZipFile(io.BytesIO(sent(imu=both))) as archive:
        first, second = archive.namelist()
        assert first.endswith("/acc.csv")
        assert second.endswith("gyro/data.csv")
        assert archive.read(second) == b"y\n"
    with pytest.raises(MediaNotFound, match=r"gone\.csv: found no such file"):
        sent(imu=f"{tmp_path}/acc.csv,{tmp_path}/gone.csv")
    odd = tmp_path / "a,b.csv"
    odd.write_text("whole")
    assert sent(imu=str(odd)) == b"whole"


def test_rate_and_units_travel_with_every_recording() -> None:
    parts: Any = attach(
        inline=True, imu=[b"a", b"b"], imu_rate_hz=20, acceleration_unit="g", rotation_unit="deg/s"
    )
    for part in parts:
        imu = part.input_imu
        assert (imu.rate_hz, imu.acceleration_unit, imu.rotation_unit) == (20, "g", "deg/s")


def test_recordings_may_each_have_their_own_rate() -> None:
    parts: Any = attach(inline=True, imu=[(b"a", 20), b"b", (np.ones((2, 3)), 7)], imu_rate_hz=50)
    assert [part.input_imu.rate_hz for part in parts] == [20, 50, 7]


def test_named_fields_may_bring_their_times() -> None:
    samples = np.zeros(3, [("t_s", "f8"), ("ax", "f4"), ("ay", "f4"), ("az", "f4")])
    assert np.array_equal(np.load(io.BytesIO(sent(imu=samples))), samples)


def test_pil_image_stands_upright_and_keeps_its_depth() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn right
    buffer = io.BytesIO()
    Image.new("RGB", (4, 2)).save(buffer, "PNG", exif=exif)
    assert Image.open(io.BytesIO(sent(image=Image.open(buffer)))).size == (2, 4)
    for dtype in (np.uint16, np.int32):
        deep = Image.fromarray(np.array([[0, 40_000]], dtype))
        assert np.asarray(Image.open(io.BytesIO(sent(image=deep)))).tolist() == [[0, 40_000]]


@pytest.mark.parametrize("kind", ["image", "video", "audio", "imu"])
def test_nothing_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "empty"
    path.touch()
    read = io.BytesIO(b"x")
    read.read()
    for given, words in ((path, str(path)), (b"", kind), (read, "seek(0)")):
        with pytest.raises(MediaEmpty, match=re.escape(words)):
            attach(inline=True, **{kind: given})  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["image", "video", "audio", "imu"])
def test_files_travel_as_they_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a file.bin"
    path.write_bytes(b"\x00\xffhello")
    for given in (path, str(path), b"\x00\xffhello", bytearray(b"\x00\xffhello")):
        assert sent(**{kind: given}) == b"\x00\xffhello"
    with path.open("rb") as file:
        assert sent(**{kind: file}) == b"\x00\xffhello"


def test_type_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert url_of(image=path).startswith("data:image/png;base64,")
    assert url_of(image=b"x").startswith("data:application/octet-stream;base64,")


def test_in_process_a_path_stays_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert url_of(inline=False, imu="walk.csv") == str(tmp_path / "walk.csv")
    assert url_of(inline=False, imu=b"x").startswith("data:")


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "https://example.org/a.png"])
def test_urls_are_passed_on(url: str) -> None:
    assert url_of(image=url) == url


def test_order_is_image_video_audio_imu() -> None:
    parts = attach(inline=True, imu=b"i", audio=b"a", video=b"v", image=[b"1", b"2"])
    kinds = ["image_url", "image_url", "video_url", "audio_url", "input_imu"]
    assert [part.type for part in parts] == kinds
    assert attach(inline=True) == attach(inline=True, image=None, imu=[]) == []


@pytest.mark.parametrize(
    ("media", "words"),
    [
        ({"imu_rate_hz": 0}, "rate_hz: Input should be greater than 0"),
        ({"acceleration_unit": "mg"}, "acceleration_unit: Input should be 'm/s2' or 'g'"),
    ],
)
def test_refused_rate_or_unit_is_explained(media: dict[str, Any], words: str) -> None:
    with pytest.raises(ConversationError, match=re.escape(words)):
        attach(inline=True, imu=b"x", **media)


def test_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(MediaNotFound, match=re.escape(str(path))):
            attach(inline=True, image=path)


@pytest.mark.parametrize(
    ("media", "words"),
    [
        ({"image": np.zeros((2, 2, 3))}, "float64 with shape"),
        ({"image": np.zeros((2, 2, 5), np.uint8)}, "[2, 2, 5]"),
        ({"image": np.zeros((0, 2), np.uint8)}, "[0, 2]"),
        ({"image": 7}, "a int; accepted: a path"),
        ({"image": np.zeros((3, 8, 8), np.uint8)}, "the channels last"),
        ({"image": Image.new("F", (2, 2))}, "floating-point"),
        ({"video": np.zeros((2, 2, 2, 3), np.uint8)}, "video_rate_hz beside it"),
        ({"video": (np.zeros((2, 2, 3), np.uint8), 8)}, "[2, 2, 3]"),
        ({"video": (np.zeros((2, 3, 8, 8), np.uint8), 8)}, "the channels last"),
        ({"video": (np.zeros((2, 2, 2, 3), np.uint8), 0)}, "a rate of 0 Hz"),
        ({"video": ("a", "b", "c")}, "a tuple"),
        ({"audio": (b"a", b"b")}, "a tuple"),
        ({"imu": [[0, 0, 9.8]]}, "a list"),
        ({"imu": np.zeros((4, 3))}, "imu_rate_hz beside it"),
        ({"imu": pd.DataFrame(np.zeros((4, 3)))}, "imu_rate_hz beside it"),
        ({"imu": (pd.DataFrame(np.zeros((4, 5))), 50)}, "[4, 5]"),
        ({"imu": (np.zeros((6, 40)), 50)}, "[6, 40]"),
        ({"audio": (np.zeros((1, 50)), 8000)}, "up to 16 channels"),
        ({"audio": np.zeros(5)}, "audio_rate_hz beside it"),
        ({"audio": (np.zeros(5, np.int64), 8000)}, "int64"),
        ({"audio": (np.zeros((1, 2, 3)), 8000)}, "[1, 2, 3]"),
        ({"imu": np.array(["a"])}, "<U1"),
        ({"imu": {"ax": [1]}}, "a DataFrame"),
        ({"video": (np.zeros((2, 2, 2, 3), np.uint8), 0.0001)}, "at least 0.001"),
        ({"audio": (np.zeros(9, np.float32), 0.4)}, "at least 1.0"),
        ({"image": Image.fromarray(np.full((2, 2), 70_000, np.int32))}, "from 70000 to 70000"),
        ({"image": io.StringIO("x")}, 'mode "rb"'),
    ],
)
def test_what_cannot_travel_is_refused(media: dict[str, Any], words: str) -> None:
    with pytest.raises(MediaUnsupported, match=re.escape(words)):
        attach(inline=True, **media)


def test_a_group_puts_media_with_times_on_one_clock() -> None:
    parts = attach(
        inline=False,
        image="a.png",
        video=["a.mp4", "b.mp4"],
        audio="a.wav",
        imu="a.csv",
        group=True,
        start_s={"imu": 0.4},
    )
    groups = [part.group for part in parts]
    assert groups[0] is None
    assert len({group.name for group in groups if group}) == 1
    assert [group.start_s for group in groups if group] == [0, 0, 0, 0.4]
    assert all(part.group is None for part in attach(inline=False, video="a.mp4", audio="a.wav"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_s": {"imu": 1}}, "add group=True"),
        ({"group": True, "start_s": {"image": 1}}, "on a clock are video, audio, imu"),
        ({"group": True, "start_s": {"imu": -1}}, "greater than or equal to 0"),
    ],
)
def test_beginnings_that_mean_nothing_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ConversationError, match=message):
        attach(inline=False, imu="a.csv", **options)
