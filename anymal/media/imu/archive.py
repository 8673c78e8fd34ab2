"""The files inside a ZIP, unpacked no further than accepted."""

import io
import zipfile
import zlib

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits
from anymal.media.source import Source, reason

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
)
_MOST_MEMBERS = 64
_PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def member_names(source: Source) -> list[str]:
    """The names of the files inside, but for folders and what macOS adds.

    Args:
        source: The archive.

    Raises:
        MediaCorrupt: It is broken.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            names = archive.namelist()
    except _BROKEN as error:
        raise _broken(source, error) from error
    return [
        name
        for name in names
        if not (name.endswith("/") or name.startswith("__MACOSX") or "/._" in f"/{name}")
    ]


def unpacked(source: Source, names: list[str], limits: Limits) -> dict[str, bytes]:
    """The bytes of some files inside, once their declared sizes are known to be accepted.

    Args:
        source: The archive.
        names: Which files.
        limits: How many bytes, unpacked, are accepted.

    Raises:
        MediaError: Broken, too large, or packed in a way that unpacks without a bound.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            wanted = set(names)
            members = [member for member in archive.infolist() if member.filename in wanted]
            _check(source.name, members, limits)
            return {member.filename: _content(archive, member) for member in members}
    except MediaError:
        raise
    except _BROKEN as error:
        raise _broken(source, error) from error


def _broken(source: Source, error: BaseException) -> MediaCorrupt:
    """The error for an archive that cannot be read."""
    found = f"an archive that is broken or truncated ({reason(error)})"
    return MediaCorrupt(source.name, found, "a complete NPZ or ZIP file")


def _check(name: str, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuses more bytes than accepted, and packings that zipfile unpacks without a bound."""
    total = sum(member.file_size for member in members)
    if total > limits.max_bytes or len(members) > _MOST_MEMBERS:
        raise MediaTooLarge(
            name,
            f"{len(members)} files of {total:,} bytes unpacked",
            f"at most {_MOST_MEMBERS} files of {limits.max_bytes:,} bytes",
        )
    if len({member.filename for member in members}) < len(members):
        raise MediaUnsupported(name, "two files of one name", "a name for each file")
    if others := {member.compress_type for member in members} - _PACKINGS:
        raise MediaUnsupported(
            name,
            f"files packed by ZIP's method {min(others)}",
            "methods 0 and 8, as zip, numpy.savez and savez_compressed write",
        )


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member; asked for all, zipfile unpacks more than the directory declares."""
    with archive.open(member) as file:
        return file.read(member.file_size)
