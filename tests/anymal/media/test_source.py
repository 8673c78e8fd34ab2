import base64
import io
import tracemalloc
from pathlib import Path

import pytest

from anymal.errors import (
    MediaCorrupt,
    MediaError,
    MediaForbidden,
    MediaNotFound,
    MediaTooLarge,
    MediaUnsupported,
)
from anymal.media.limits import Limits
from anymal.media.source import Source, read_base64, read_source, reason

LIMITS = Limits(max_bytes=100)


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def test_the_same_bytes_come_from_every_way_in(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"hello")
    with (tmp_path / "a.bin").open("rb") as file:
        sources = [
            read_source(b"hello", limits=LIMITS),
            read_source(bytearray(b"hello"), limits=LIMITS),
            read_source(io.BytesIO(b"hello"), limits=LIMITS),
            read_source(file, limits=LIMITS),
            read_source(tmp_path / "a.bin", limits=LIMITS),
            read_source(Path("a.bin"), limits=LIMITS, base_dir=tmp_path),
            read_source("a.bin", limits=LIMITS, base_dir=tmp_path),
            read_source(str(tmp_path / "a.bin"), limits=LIMITS, base_dir=tmp_path),
            read_source(data_url(b"hello"), limits=LIMITS),
            read_source("DATA:;charset=x;BASE64,aGVs\nbG8=", limits=LIMITS),
            read_base64("aGVsbG8=", limits=LIMITS, name="part"),
        ]
    assert [source.data for source in sources] == [b"hello"] * len(sources)


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,", "DATA:;base64,"])
@pytest.mark.parametrize(
    "text", ["-_-_AA==", "-_-_AA", "+/+/AA", " +/+\r\n/AA=\t=", "%2B%2F%2B%2FAA%3D%3D", "+_+_AA"]
)
def test_base64_is_read_in_every_dialect(prefix: str, text: str) -> None:
    data = read_base64(prefix + text, limits=LIMITS, name="input_audio.data").data
    assert data == base64.b64decode("+/+/AA==")


def test_reasons_hold_no_addresses() -> None:
    error = RuntimeError(f"Error opening {io.BytesIO()!r}: {object()!r} is wrong")
    assert reason(error) == "Error opening the file: the file is wrong"


def test_names_tell_where_the_bytes_came_from(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"hello")
    assert read_source("a.bin", limits=LIMITS, base_dir=tmp_path).name == "a.bin"
    assert read_source(b"x", limits=LIMITS, name="photo").name == "photo"
    assert read_source(data_url(b"x"), limits=LIMITS).name == "data URL (image/png)"
    assert read_source("data:image/png;name=a%20b.png;base64,eA", limits=LIMITS).name == "a b.png"
    assert "hello" not in repr(Source(name="a", data=b"hello"))


def test_a_long_path_keeps_its_end(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    (folder / "walk.csv").write_bytes(b"hello")
    path = folder / "walk.csv"
    with path.open("rb") as file:
        names = [
            read_source(ref, limits=LIMITS, base_dir=base_dir).name
            for ref, base_dir in ((path, None), (str(path), tmp_path), (file, None))
        ]
    assert set(names) == {f"...{str(path)[-80:]}"}
    with pytest.raises(MediaNotFound, match=r"^\.\.\.a+/b+/gone.csv: found no such file"):
        read_source(folder / "gone.csv", limits=LIMITS)


def test_a_long_url_keeps_its_beginning() -> None:
    with pytest.raises(MediaForbidden, match=r"^https://host/a+\.\.\.: found a remote URL"):
        read_source(f"https://host/{'a' * 100}.png", limits=LIMITS)


@pytest.mark.parametrize("url", ["http://host/a.png", "https://host/a.png", "HTTPS://host/a.png"])
def test_remote_media_is_off(url: str, tmp_path: Path) -> None:
    for base_dir in (None, tmp_path):
        with pytest.raises(MediaForbidden, match="remote media is off"):
            read_source(url, limits=LIMITS, base_dir=base_dir)


@pytest.mark.parametrize("ref", ["file:///etc/passwd", "ftp://host/a", "s3://bucket/a"])
def test_other_schemes_are_refused(ref: str, tmp_path: Path) -> None:
    with pytest.raises(MediaForbidden, match="URL"):
        read_source(ref, limits=LIMITS, base_dir=tmp_path)


def test_text_is_a_path_only_beside_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"hello")
    with pytest.raises(MediaForbidden, match="not a data URL"):
        read_source(str(tmp_path / "a.bin"), limits=LIMITS)


@pytest.mark.parametrize("ref", ["../secret", "in/../../secret", "/etc/passwd", "link"])
def test_paths_stay_in_their_folder(ref: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(MediaForbidden, match="leaves its folder"):
        read_source(ref, limits=LIMITS, base_dir=inside)


@pytest.mark.parametrize("ref", ["none.png", ".", "a\0b", "x" * 5000])
def test_what_is_no_file_is_named(ref: str, tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound) as caught:
        read_source(ref, limits=LIMITS, base_dir=tmp_path)
    assert len(str(caught.value)) < 300


def test_devices_are_not_read() -> None:
    with pytest.raises(MediaNotFound, match="device"):
        read_source(Path("/dev/zero"), limits=LIMITS)


def test_too_many_bytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            self.asked += size
            return b"x" * size

    endless = Endless()
    (tmp_path / "big").write_bytes(b"x" * 101)
    for ref in (b"x" * 101, tmp_path / "big", data_url(b"x" * 101), endless):
        with pytest.raises(MediaTooLarge, match="at most 100 bytes"):
            read_source(ref, limits=LIMITS)  # type: ignore[arg-type]
    assert endless.asked == 101
    assert read_source(data_url(b"x" * 100), limits=LIMITS).data == b"x" * 100


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("data:image/png;base64,%%%", MediaCorrupt),
        ("data:image/png;base64,abcde", MediaCorrupt),
        ("data:image/png;base64,ab=c", MediaCorrupt),
        ("data:;base64,data:;base64,aGVsbG8=", MediaCorrupt),
        ("data:image/png;base64,\u00e9\u00e9", MediaCorrupt),
        ("data:text/plain,hello", MediaUnsupported),
        ("data:", MediaUnsupported),
    ],
)
def test_broken_data_urls(url: str, error: type[MediaError]) -> None:
    with pytest.raises(error):
        read_source(url, limits=LIMITS)


def test_text_files_and_other_objects_are_refused() -> None:
    with pytest.raises(MediaUnsupported, match='mode "rb"'):
        read_source(io.StringIO("x"), limits=LIMITS)  # type: ignore[arg-type]
    with pytest.raises(MediaUnsupported, match="a int"):
        read_source(3, limits=LIMITS)  # type: ignore[arg-type]


def test_long_base64_is_decoded_in_pieces_and_its_white_space_takes_no_memory() -> None:
    data = bytes(range(256)) * 25_000  # of base64, more than two pieces
    limits = Limits(max_bytes=len(data))
    plain = base64.b64encode(data).decode()
    dialects = [plain, plain.rstrip("="), plain.translate(str.maketrans("+/", "-_"))]
    dialects.append(plain.replace("+", "%2B").replace("/", "%2f"))
    for text in dialects[:3]:
        assert read_base64(text, limits=limits, name="a").data == data
    assert read_base64(dialects[3], limits=Limits(), name="a").data == data
    lines = base64.encodebytes(data).decode()
    assert read_base64(lines, limits=Limits(), name="a").data == data
    spaced = "Q " * 4_000_000
    tracemalloc.start()
    try:
        assert len(read_base64(spaced, limits=Limits(), name="a").data) == 3_000_000
        assert tracemalloc.get_traced_memory()[1] < 4 * len(spaced)
    finally:
        tracemalloc.stop()
