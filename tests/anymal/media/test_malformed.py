"""Every way in which media is broken in practice gives one typed error that names the file."""

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anymal.errors import (
    MediaCorrupt,
    MediaEmpty,
    MediaError,
    MediaForbidden,
    MediaTooLarge,
    MediaUnsupported,
)
from anymal.media.audio import decode_audio
from anymal.media.image import decode_image
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source, read_base64, read_source
from anymal.media.video import decode_video
from tests.anymal.media.broken import (
    half,
    huge_avi,
    huge_gif,
    huge_png,
    long_wav,
    noise,
    npy_header,
    packed,
    parquet,
)

LIMITS = Limits()
Files = dict[str, Callable[..., bytes]]


@pytest.fixture(scope="session")
def files(
    picture: Callable[..., bytes],
    film: Callable[..., bytes],
    sound: Callable[..., bytes],
    track: Callable[..., bytes],
    array_file: Callable[..., bytes],
    archive: Callable[..., bytes],
) -> Files:
    return {
        "picture": picture,
        "film": film,
        "sound": sound,
        "track": track,
        "array": array_file,
        "archive": archive,
    }


IMAGES: list[tuple[str, Callable[[Files], bytes], type[MediaError]]] = [
    ("empty.png", lambda files: b"", MediaEmpty),
    ("noise.jpg", lambda files: noise(5000), MediaUnsupported),
    ("text.png", lambda files: b"this is not a picture", MediaUnsupported),
    ("page.png", lambda files: b"<html>404 Not Found</html>", MediaUnsupported),
    ("sound.png", lambda files: files["sound"](), MediaUnsupported),
    ("film.png", lambda files: files["film"](), MediaUnsupported),
    ("signature.png", lambda files: b"\x89PNG\r\n\x1a\n", MediaCorrupt),
    ("half.png", lambda files: half(files["picture"]("PNG")), MediaCorrupt),
    ("end.png", lambda files: files["picture"]("PNG")[:-12], MediaCorrupt),
    ("half.jpg", lambda files: half(files["picture"]("JPEG")), MediaCorrupt),
    ("half.webp", lambda files: half(files["picture"]("WEBP")), MediaCorrupt),
    ("half.gif", lambda files: half(files["picture"]("GIF")), MediaCorrupt),
    ("half.bmp", lambda files: half(files["picture"]("BMP")), MediaCorrupt),
    ("half.avif", lambda files: half(files["picture"]("AVIF")), MediaCorrupt),
    ("half.tiff", lambda files: half(files["picture"]("TIFF")), MediaCorrupt),
    ("bomb.png", lambda files: huge_png(60_000, 60_000), MediaTooLarge),
    ("strip.png", lambda files: huge_png(2_000_000, 1), MediaTooLarge),
    ("bomb.gif", lambda files: huge_gif(), MediaTooLarge),
    ("phone.heic", lambda files: b"\0\0\0\x18ftypheic" + bytes(64), MediaCorrupt),
]

FILMS: list[tuple[str, Callable[[Files], bytes], type[MediaError]]] = [
    ("empty.mp4", lambda files: b"", MediaEmpty),
    ("noise.mp4", lambda files: noise(5000), MediaUnsupported),
    ("playlist.m3u8", lambda files: b"#EXTM3U\nfile:///etc/passwd\n", MediaUnsupported),
    ("half.mp4", lambda files: half(files["film"]()), MediaCorrupt),
    ("header.mp4", lambda files: files["film"]()[:32], MediaCorrupt),
    ("noise_after_header.mp4", lambda files: files["film"]()[:32] + noise(5000), MediaCorrupt),
    ("half.webm", lambda files: half(files["film"]("webm", "libvpx")), MediaCorrupt),
    ("noise.ts", lambda files: noisy_packets(), MediaCorrupt),
    ("noise.mpg", lambda files: b"\0\0\1\xba" + noise(5000), MediaCorrupt),
    ("sound.ogv", lambda files: files["sound"]("OGG"), MediaUnsupported),
    ("half.avi", lambda files: half(files["film"]("avi", "mpeg4")), MediaCorrupt),
    ("half_animation.gif", lambda files: half(films_gif(files)), MediaCorrupt),
    ("only_sound.m4a", lambda files: files["track"](), MediaUnsupported),
    ("sound.mp4", lambda files: files["sound"](), MediaUnsupported),
    ("bomb.avi", lambda files: huge_avi(jpegs(files), is_open_about_it=True), MediaCorrupt),
    ("trap.avi", lambda files: huge_avi(jpegs(files), is_open_about_it=False), MediaCorrupt),
    ("codec.mp4", lambda files: files["film"]().replace(b"avc1", b"zzz1"), MediaUnsupported),
    ("long.avi", lambda files: slow_avi(files), MediaTooLarge),
]

SOUNDS: list[tuple[str, Callable[[Files], bytes], type[MediaError]]] = [
    ("empty.wav", lambda files: b"", MediaEmpty),
    ("noise.wav", lambda files: noise(5000), MediaUnsupported),
    ("picture.wav", lambda files: files["picture"](), MediaUnsupported),
    ("table.wav", lambda files: b"t_s,ax,ay,az\n0,1,2,3\n", MediaUnsupported),
    ("utf16.mp3", lambda files: "t_s,ax,ay,az\n0,1,2,3\n".encode("utf-16"), MediaUnsupported),
    ("header.wav", lambda files: files["sound"]()[:40], MediaCorrupt),
    ("half.wav", lambda files: half(files["sound"]()), MediaCorrupt),
    ("half.flac", lambda files: half(files["sound"]("FLAC")), MediaCorrupt),
    ("half.ogg", lambda files: half(files["sound"]("OGG")), MediaCorrupt),
    ("half.mp3", lambda files: half(files["sound"]("MP3")), MediaCorrupt),
    ("half.m4a", lambda files: half(files["track"]()), MediaCorrupt),
    ("noise.mp3", lambda files: b"\xff\xfb" + noise(5000), MediaCorrupt),
    ("no_samples.wav", lambda files: files["sound"](samples=np.zeros(0)), MediaEmpty),
    ("nan.wav", lambda files: files["sound"]("WAV", "FLOAT", np.full(9, np.nan)), MediaCorrupt),
    ("counts.wav", lambda files: files["sound"]("WAV", "FLOAT", np.full(9, 3e4)), MediaTooLarge),
    ("long.wav", lambda files: long_wav(), MediaTooLarge),
    ("silent_film.mp4", lambda files: files["film"](), MediaUnsupported),
]

RECORDINGS: list[tuple[str, Callable[[Files], bytes], type[MediaError]]] = [
    ("empty.csv", lambda files: b"", MediaEmpty),
    ("blank.csv", lambda files: b"\n\n \n", MediaEmpty),
    ("header.csv", lambda files: b"t_s,ax,ay,az\n", MediaEmpty),
    ("noise.csv", lambda files: noise(5000), MediaUnsupported),
    ("picture.csv", lambda files: files["picture"](), MediaUnsupported),
    ("words.csv", lambda files: b"dear diary, today I walked\n", MediaUnsupported),
    ("unknown.csv", lambda files: b"a,b,c\n1,2,3\n", MediaUnsupported),
    ("no_z.csv", lambda files: b"t_s,ax,ay\n0,1,2\n1,1,2\n", MediaUnsupported),
    ("columns.csv", lambda files: b"1,2,3,4\n1,2,3,4\n", MediaUnsupported),
    ("ragged.csv", lambda files: b"ax,ay,az\n1,2,3\n1,2\n", MediaCorrupt),
    ("cell.csv", lambda files: b"ax,ay,az\n1,2,3\n1,x,3\n", MediaCorrupt),
    ("nan.csv", lambda files: b"ax,ay,az\n1,2,3\n1,nan,3\n", MediaCorrupt),
    ("infinite.csv", lambda files: b"ax,ay,az\n1,2,3\n1,1e999,3\n", MediaCorrupt),
    ("latin.csv", lambda files: b"ax,ay,az\n1,2,3\n1,\xe9,3\n", MediaCorrupt),
    ("back.csv", lambda files: b"t_s,ax,ay,az\n1,1,1,1\n0,1,1,1\n", MediaCorrupt),
    (
        "gap.csv",
        lambda files: b"t_s,ax,ay,az\n0,1,1,1\n.1,1,1,1\n.2,1,1,1\n9,1,1,1\n",
        MediaCorrupt,
    ),
    ("utf16.csv", lambda files: "t_s,ax,ay,az\n0,1,2,3\n".encode("utf-16"), MediaUnsupported),
    ("lines.csv", lambda files: b"1\n" * 3_000_000, MediaTooLarge),
    ("wide.csv", lambda files: b"1," * 3_000_000, MediaTooLarge),
    ("half.json", lambda files: half(json.dumps([[1, 2, 3]] * 9).encode()), MediaCorrupt),
    ("deep.json", lambda files: b"[" * 100_000, MediaCorrupt),
    ("ragged.json", lambda files: b"[[1, 2, 3], [1, 2]]", MediaUnsupported),
    ("null.json", lambda files: b"[[1, 2, 3], [1, 2, null]]", MediaCorrupt),
    ("words.json", lambda files: b'[["a", "b", "c"]]', MediaUnsupported),
    (
        "rate.json",
        lambda files: b'{"samples": [[1, 2, 3]], "rate_hz": 1%s}' % (b"0" * 400),
        MediaUnsupported,
    ),
    (
        "words_rate.json",
        lambda files: b'{"samples": [[1, 2, 3]], "rate_hz": "%s"}' % (b"50" * 400),
        MediaUnsupported,
    ),
    ("half.npy", lambda files: half(files["array"](np.zeros((99, 6)))), MediaCorrupt),
    ("flat.npy", lambda files: files["array"](np.zeros(99)), MediaUnsupported),
    ("objects.npy", lambda files: files["array"](np.array([{}], object)), MediaUnsupported),
    (
        "huge.npy",
        lambda files: npy_header(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000, 6), }"
        ),
        MediaTooLarge,
    ),
    ("header.npy", lambda files: npy_header("__import__('os').getcwd()"), MediaCorrupt),
    ("half.npz", lambda files: half(files["archive"](samples=np.zeros((9, 6)))), MediaCorrupt),
    ("rate.npz", lambda files: rated(files, np.zeros(1, "f8, f8")), MediaUnsupported),
    ("rates.npz", lambda files: rated(files, np.zeros(2)), MediaUnsupported),
    (
        "fields.npz",
        lambda files: files["archive"](samples=np.zeros(9, [("x" * 4000, "U8")])),
        MediaUnsupported,
    ),
    ("damaged.npz", lambda files: packed(zipfile.ZIP_DEFLATED, is_damaged=True), MediaCorrupt),
    ("lzma.npz", lambda files: packed(zipfile.ZIP_LZMA, is_damaged=True), MediaUnsupported),
    ("bzip2.npz", lambda files: packed(zipfile.ZIP_BZIP2), MediaUnsupported),
    (
        "bomb.npz",
        lambda files: files["archive"](samples=np.zeros((12_000_000, 6), np.int8)),
        MediaTooLarge,
    ),
    ("half.parquet", lambda files: half(parquet({"ax": [1.0]})), MediaCorrupt),
    (
        "words.parquet",
        lambda files: parquet({"ax": ["a"], "ay": ["b"], "az": ["c"]}),
        MediaUnsupported,
    ),
    ("pickle.npy", lambda files: pickle.dumps([[1, 2, 3]]), MediaUnsupported),
]


def rated(files: Files, rate_hz: np.ndarray) -> bytes:
    return files["archive"](samples=np.zeros((9, 6)), rate_hz=rate_hz)


def films_gif(files: Files) -> bytes:
    return files["film"]("gif", "gif", pixel_format="rgb8")


def jpegs(files: Files) -> bytes:
    return files["film"]("avi", "mjpeg", pixel_format="yuvj420p")


def noisy_packets() -> bytes:
    return b"".join(b"G" + noise(185) for _ in range(9))


def slow_avi(files: Files) -> bytes:
    """Twenty frames of a minute each, by the header of the stream."""
    data = bytearray(jpegs(files))
    place = data.find(b"strh") + 8 + 20
    data[place : place + 8] = struct.pack("<II", 60, 1)
    return bytes(data)


CASES = [
    pytest.param(decoder, *case, id=case[0])
    for decoder, cases in (
        (decode_image, IMAGES),
        (decode_video, FILMS),
        (decode_audio, SOUNDS),
        (lambda source, limits: decode_imu(source, limits, rate_hz=50), RECORDINGS),
    )
    for case in cases
]


def test_the_list_is_long_enough() -> None:
    assert len(CASES) >= 40
    assert min(len(IMAGES), len(FILMS), len(SOUNDS), len(RECORDINGS)) >= 10


@pytest.mark.parametrize(("decoder", "name", "build", "error"), CASES)
def test_malformed_media_gives_one_typed_error(
    decoder: Callable[[Source, Limits], Any],
    name: str,
    build: Callable[[Files], bytes],
    error: type[MediaError],
    files: Files,
) -> None:
    with pytest.raises(MediaError) as caught:
        decoder(Source(name=name, data=build(files)), LIMITS)
    assert type(caught.value) is error
    assert caught.value.source.startswith(name)
    assert caught.value.found
    assert caught.value.accepted
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda: read_source("https://host/cat.png", limits=LIMITS), MediaForbidden),
        (lambda: read_source("cat.png", limits=LIMITS), MediaForbidden),
        (lambda: read_source("data:image/png;base64,%", limits=LIMITS), MediaCorrupt),
        (lambda: read_source("data:image/png,x", limits=LIMITS), MediaUnsupported),
        (lambda: read_base64("not base64!", limits=LIMITS, name="a"), MediaCorrupt),
        (lambda: read_source(bytes(101), limits=Limits(max_bytes=100)), MediaTooLarge),
    ],
)
def test_malformed_references_give_one_typed_error(
    read: Callable[[], Source], error: type[MediaError]
) -> None:
    with pytest.raises(error):
        read()


def test_errors_survive_a_worker_process(files: Files) -> None:
    with pytest.raises(MediaCorrupt) as caught:
        decode_image(Source(name="half.png", data=half(files["picture"]())), LIMITS)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is MediaCorrupt
    assert str(again) == str(caught.value)
    assert again.source == "half.png"
