"""Tar archives in the shape of WebDataset as raw rows, by an index of where members begin.

Members that share a name up to its first dot are one sample. Nothing is extracted, and a member
is read only when it is asked for. Does not interpret members.
"""

import tarfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from anymal.errors import DataError

_BLOCK = tarfile.BLOCKSIZE


class Sample(Mapping[str, bytes]):
    """One sample: ending -> content, such as `jpg`, `txt` or `left.png`, in the archive's order.

    Attributes:
        key: What the members' names share.
        names: The members' whole names by ending.
    """

    def __init__(self, path: Path, members: Sequence[tarfile.TarInfo]) -> None:
        self.key = _split(members[0].name)[0]
        self.names = {_split(member.name)[1]: member.name for member in members}
        self._path = path
        self._members = {_split(member.name)[1]: member for member in members}

    @property
    def where(self) -> str:
        """The place of the sample, `archive:key`."""
        return f"{self._path}:{self.key}"

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __getitem__(self, ending: str) -> bytes:
        member = self._members[ending]
        with self._path.open("rb") as file:
            file.seek(member.offset_data)
            return file.read(member.size)


class TarSamples:
    """The samples of some archives, in order; 24 bytes of memory for one with two members.

    Args:
        paths: Archives, not compressed.

    Raises:
        DataError: One is no tar archive or is cut short; a member is a link, leaves the folder or
            comes twice.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._headers = array("Q")  # where members begin in their archives
        self._firsts = array("Q")  # which member is a sample's first
        self._ends = array("Q")  # how many samples there are up to each archive's end
        for path in paths:
            self._index(path)
            self._ends.append(len(self._firsts))

    def __len__(self) -> int:
        return len(self._firsts)

    def __getitem__(self, index: int) -> Sample:
        path = self._paths[self._archive(index)]
        first = self._firsts[index]
        after = self._firsts[index + 1] if index + 1 < len(self) else len(self._headers)
        with tarfile.open(path, "r:") as archive:
            return Sample(path, [_member(archive, at) for at in self._headers[first:after]])

    def where(self, index: int) -> str:
        """Return `archive:key` of a sample."""
        return self[index].where

    def _archive(self, index: int) -> int:
        """The number of the archive that holds a sample."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return bisect_right(self._ends, index)

    def _index(self, path: Path) -> None:
        """Add the samples of one archive."""
        key, endings = None, set[str]()
        for member in _members(path):
            new_key, ending = _split(member.name)
            if new_key != key:
                self._firsts.append(len(self._headers))
                key, endings = new_key, set()
            if ending in endings:
                raise DataError(f"{path}:{key}: two members are named {member.name!r}")
            endings.add(ending)
            self._headers.append(member.offset)


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The files of an archive, checked."""
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps all
                if not member.isdir():
                    _check(member, path)
                    yield member
            # tarfile takes a damaged header for the end.
            end = archive.offset
        with path.open("rb") as file:
            file.seek(end)
            rest = file.read(_BLOCK)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as a tar archive ({error}); a compressed one has to be "
            "decompressed first, since its members cannot be found again"
        ) from error
    if rest != bytes(_BLOCK):  # zeros end an archive
        raise DataError(
            f"{path} is damaged or cut short: after {end:,} bytes comes neither a member nor the "
            "end of an archive"
        )


def _check(member: tarfile.TarInfo, path: Path) -> None:
    """Refuse what is no plain file inside the folder that the archive would be unpacked to."""
    if not member.isreg() or member.issparse():
        raise DataError(
            f"{path}: {member.name!r} is a link or a special file; pack the file itself"
        )
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{path}: {member.name!r} leaves the archive's folder")
    if not all(_split(member.name)):
        raise DataError(
            f"{path}: {member.name!r} has no ending; members of a sample share a name up to its "
            "first dot"
        )


def _member(archive: tarfile.TarFile, offset: int) -> tarfile.TarInfo:
    """The member whose header is at an offset."""
    assert archive.fileobj is not None, archive.name
    archive.fileobj.seek(offset)
    return tarfile.TarInfo.fromtarfile(archive)


def _split(name: str) -> tuple[str, str]:
    """A member's key and ending: its name, cut at the first dot after the last slash."""
    folder, slash, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem if stem else "", ending.lower()
