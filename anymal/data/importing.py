"""Any data set as ours: a manifest with the media beside it, or archives that hold both.

Checks no records beyond what reading them does; `anymal data check` does.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from anymal.data.conversation_media import Rewriter
from anymal.data.rows import Rows
from anymal.durable import write_folder
from anymal.errors import AnymalError, DataError
from anymal.protocol.record import read_record

MANIFEST = "manifest.jsonl"
MEDIA = "media"
_SHARD_BYTES = 2**30
_DIGEST = 24  # hexadecimal digits: 96 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written.

    Attributes:
        manifest: The file, or the pattern of archives, to name in a recipe.
        num_records: How many records it has.
        media: Folder that paths in it are relative to, where that is not the manifest's.
    """

    manifest: Path
    num_records: int
    media: Path | None = None


def import_rows(
    rows: Rows, folder: Path, *, copy_media: bool = False, tick: Callable[[], None] | None = None
) -> Written:
    """Write records as a manifest.

    Args:
        rows: Of any format. Media inside them become files.
        folder: Where to write; made, or empty.
        copy_media: Whether media that are files already are copied too.
        tick: Is called after each record.

    Raises:
        DataError: The folder holds something, or a record cannot be used.
    """
    with new_folder(folder) as draft:
        rewriter = Rewriter(base_dir=rows.base_dir, copies=copy_media, put=media_folder(draft))
        with (draft / MANIFEST).open("w", encoding="utf-8") as file:
            for record in rewritten(rows, rewriter, tick):
                file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
    return Written(
        manifest=folder / MANIFEST,
        num_records=len(rows),
        media=rows.base_dir if rewriter.num_paths else None,
    )


def import_to_archives(
    rows: Rows,
    folder: Path,
    *,
    shard_bytes: int = _SHARD_BYTES,
    tick: Callable[[], None] | None = None,
) -> Written:
    """Write records and their media as archives that the format `webdataset` reads.

    Args:
        rows: Of any format.
        folder: Where to write; made, or empty.
        shard_bytes: An archive with more than these is followed by another.
        tick: Is called after each record.

    Raises:
        DataError: The folder holds something, or a record cannot be used.
    """
    sample = _Sample()
    rewriter = Rewriter(base_dir=rows.base_dir, copies=True, put=sample.put)
    with new_folder(folder) as draft:
        members = (sample.taken(record) for record in rewritten(rows, rewriter, tick))
        last = -1
        while (first := next(members, None)) is not None:
            last += 1
            with tarfile.open(draft / f"data-{last:06}.tar", "w") as archive:
                for one in chain([first], members):
                    _add(archive, one)
                    if archive.offset >= shard_bytes:
                        break
    name = "data-000000.tar" if not last else f"data-{{000000..{last:06}}}.tar"
    return Written(manifest=folder / name, num_records=len(rows))


def rewritten(
    rows: Rows,
    rewriter: Rewriter,
    tick: Callable[[], None] | None = None,
    *,
    make: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Iterator[dict[str, Any]]:
    """All records, their media where the rewriter has put them.

    Args:
        rows: The records.
        rewriter: Puts their media.
        tick: Is called after each record.
        make: From a record to what is yielded.

    Raises:
        DataError: A record cannot be written; begins with its place.
    """
    for index in range(len(rows)):
        record = rows[index]
        try:
            read_record(record)
            made = make(rewriter.rewritten(record))
            _check_rest(record)
        except AnymalError as error:
            raise DataError(f"{rows.where(index)}: {error}") from error
        yield made
        if rewriter.num_put and rewriter.num_paths:
            raise DataError(
                f"{rows.where(index)}: media inside the rows become files here, and those of other "
                "rows are files elsewhere, so no one folder has all; copy these too, with "
                "--copy-media"
            )
        if tick is not None:
            tick()


def _check_rest(record: Mapping[str, Any]) -> None:
    """Refuse what is beside the messages and cannot be written: dates, halves of characters.

    Raises:
        DataError: There is some.
    """
    rest = {key: value for key, value in record.items() if key != "messages"}
    try:
        json.dumps(rest, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"{', '.join(rest)} cannot be written as JSON ({error})") from error


def check_new(folder: Path) -> None:
    """Refuse a folder that is in use.

    Raises:
        DataError: It is there and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{str(folder)!r} is not empty; give a new folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to that takes its place when it is whole.

    Raises:
        DataError: It is there and not empty.
    """
    check_new(folder)
    with write_folder(folder) as draft:
        yield draft


def media_folder(folder: Path, name: Path | None = None) -> Callable[[bytes, str], str]:
    """A function that keeps media in a folder, each once, and returns where.

    Args:
        folder: Of the manifest.
        name: What the folder will be called, for paths that are whole; None for paths relative to
            the manifest.
    """

    def put(data: bytes, ending: str) -> str:
        (folder / MEDIA).mkdir(exist_ok=True)
        path = folder / MEDIA / f"{hashlib.sha256(data).hexdigest()[:_DIGEST]}{ending}"
        if not path.exists():
            path.write_bytes(data)
        kept = f"{MEDIA}/{path.name}"
        return kept if name is None else str(name / kept)

    return put


class _Sample:
    """The members of the sample that is being made; they share its number as a name."""

    def __init__(self) -> None:
        self._number = 0
        self._members: dict[str, bytes] = {}

    def put(self, data: bytes, ending: str) -> str:
        """Add a medium; returns its name."""
        name = f"{self._number:09}.{len(self._members)}{ending}"
        self._members[name] = data
        return name

    def taken(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """All members, the record being the last; the next sample begins."""
        text = json.dumps(record, ensure_ascii=False).encode()
        members = {**self._members, f"{self._number:09}.json": text}
        self._number, self._members = self._number + 1, {}
        return members


def _add(archive: tarfile.TarFile, members: Mapping[str, bytes]) -> None:
    """Write a sample."""
    for name, data in members.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
