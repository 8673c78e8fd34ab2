import io
import tarfile
from pathlib import Path

import pytest

from anymal.data.containers.tar import TarSamples
from anymal.errors import DataError
from tests.anymal.data.examples import write_tar

MEMBERS = {
    "d/1.jpg": b"one",
    "d/1.json": b"{}",
    "d/2.left.jpg": b"left",
    "d/2.right.jpg": b"right",
    "d/2.txt": b"",
}


def test_members_that_share_a_name_are_a_sample(tmp_path: Path) -> None:
    first = write_tar(tmp_path / "a.tar", MEMBERS)
    second = write_tar(tmp_path / "b.tar", {"9.CLS": b"3"})
    samples = TarSamples([first, second])
    assert len(samples) == 3
    assert dict(samples[2]) == {"cls": b"3"}
    assert dict(samples[1]) == {"left.jpg": b"left", "right.jpg": b"right", "txt": b""}
    assert samples[1].names["left.jpg"] == "d/2.left.jpg"
    assert [samples.where(n) for n in range(3)] == [f"{first}:d/1", f"{first}:d/2", f"{second}:9"]
    with pytest.raises(IndexError):
        samples[3]


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_that_need_a_header_of_their_own_are_found_again(tmp_path: Path, style: int) -> None:
    names = [f"{'long' * 40}/{n}.txt" for n in range(3)]
    with tarfile.open(tmp_path / "a.tar", "w", format=style) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    samples = TarSamples([tmp_path / "a.tar"])
    assert [samples[n]["txt"].decode() for n in (2, 0, 1)] == [names[2], names[0], names[1]]


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("1.jpg", tarfile.SYMTYPE, "'1.jpg' is a link"),
        ("1.jpg", tarfile.LNKTYPE, "'1.jpg' is a link"),
        ("1.jpg", tarfile.FIFOTYPE, "special file"),
        ("../1.jpg", tarfile.REGTYPE, "leaves the archive's folder"),
        ("/etc/1.jpg", tarfile.REGTYPE, "leaves the archive's folder"),
        ("README", tarfile.REGTYPE, "'README' has no ending"),
        ("d/.jpg", tarfile.REGTYPE, "has no ending"),
        ("0.txt", tarfile.REGTYPE, "two members are named '0.txt'"),
    ],
)
def test_members_that_cannot_be_trusted_are_refused(
    tmp_path: Path, name: str, kind: bytes, says: str
) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.txt": b"fine"})
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "0.txt"
        archive.addfile(member)
    with pytest.raises(DataError, match=says):
        TarSamples([path])


def test_an_archive_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    data = path.read_bytes()
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512  # of the last header, whose member is empty
    for length in range(0, end + 1, 100):
        path.write_bytes(data[:length])
        with pytest.raises(DataError):
            TarSamples([path])


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataError, match="has to be decompressed first"):
        TarSamples([tmp_path / "a.tar.gz"])
