"""Folders of files, as `imagefolder` and its kin read them: with a table, or labels as folders.

The table, `metadata.csv` or its like, names a row's file under `file_name`, or several under
`*_file_name`; its other columns are words. Without a table, the folder of a file is its label.
"""

import logging
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.containers.choose import open_raw
from anymal.data.containers.raw import Raw
from anymal.data.endings import modality_of_name
from anymal.data.formats.plain import MEDIA, known_names, listed, plain_record, with_files
from anymal.data.options import Options
from anymal.data.rows import Mapped, Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError

logger = logging.getLogger(__name__)

_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE_NAME = "file_name"


class LabelledFiles:
    """Raw rows: the files in the sub-folders of a folder, each with the name of its sub-folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._labels = sorted(path.name for path in folder.iterdir() if path.is_dir())
        self._names: list[str] = []
        self._of = array("I")
        left_out: list[Path] = []
        for number, label in enumerate(self._labels):
            for path in sorted((folder / label).iterdir()):
                if modality_of_name(path.name):
                    self._names.append(path.name)
                    self._of.append(number)
                else:
                    left_out.append(path)
        if left_out:
            logger.warning(
                "%s: %s files are left out, because their names do not say that they are media, "
                "such as %s",
                *(folder, f"{len(left_out):,}", left_out[0]),
            )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        label, name = self._labels[self._of[index]], self._names[index]
        return {_FILE_NAME: f"{label}/{name}", "label": label}

    def where(self, index: int, /) -> str:
        """Return the path of a file."""
        return str(self._folder / self._labels[self._of[index]] / self._names[index])


def open_folder(path: Path, options: Options) -> Rows:
    """Open a folder, or the table in it.

    Args:
        path: The folder, which holds one of `metadata.csv`, `.jsonl` and `.parquet` or sub-folders
            with files; or the table.
        options: `columns` names the columns of questions and answers, or of captions, where they
            are not called as usual; `split` is the sub-folder to read.

    Raises:
        DataError: There is no table and no file.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and options.split is not None:
        folder = path = path / options.split
    unread = Unread(path)

    def make(row: Mapping[str, Any]) -> Record:
        found = _with_media(row)
        unread.tell(found, known_names(options))
        return plain_record(found, options.prompt, unread)

    return Mapped(
        raw=_open(path),
        make=make,
        base_dir=options.media or folder,
        licence=options.licence,
        columns=options.columns,
    )


def _open(path: Path) -> Raw:
    """The table of a folder, or else its labelled files."""
    if not path.is_dir():
        return open_raw(path)
    tables = [path / name for name in _TABLES if (path / name).is_file()]
    if tables:
        return open_raw(tables[0])
    files = LabelledFiles(path)
    if not len(files):
        raise DataError(
            f"{str(path)!r} has neither {', '.join(_TABLES)} nor sub-folders with files; where it "
            "has sub-folders for train and test, name one as split"
        )
    return files


def _with_media(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its files under the names of their modalities."""
    names = [name for name in row if name.removesuffix("s").endswith(_FILE_NAME)]
    if not names:
        raise DataError(
            f"the row has {', '.join(row)}, and no {_FILE_NAME} or *_{_FILE_NAME}; say in columns "
            f"which column has the file, as {{{_FILE_NAME}: image}}"
        )
    words: dict[str, Any] = {name: value for name, value in row.items() if name not in names}
    media: dict[str, list[str]] = {}
    for file in [file for name in names for file in listed(row[name])]:
        modality = modality_of_name(file) if isinstance(file, str) else None
        if modality is None:
            raise DataError(f"the ending of {file!r:.80} does not say what the file is")
        media.setdefault(MEDIA[modality], []).append(file)
    return with_files(words, media)
