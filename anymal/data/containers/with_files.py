"""Raw rows that name a file by an id, and those of them whose file is there.

Does not open the files, and looks into no folder below the one that is given.
"""

import logging
import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.data.containers.raw import Raw
from anymal.errors import DataError

logger = logging.getLogger(__name__)


class WithFiles:
    """Rows whose file is there; each has the file's name under `key`. The others are reported.

    Args:
        raw: All rows.
        names: The names that the file of a row may have, the likeliest first; of each row as many.
        folder: Where the files are.
        key: What the name is put under.

    Raises:
        DataError: There is no such folder, or no row has its file.
    """

    def __init__(
        self,
        raw: Raw,
        names: Callable[[Mapping[str, Any]], Sequence[str]],
        folder: Path,
        *,
        key: str,
    ) -> None:
        self._raw, self._names, self._key = raw, names, key
        self._numbers, self._choices = array("Q"), array("B")
        there = _files_in(folder)
        missing: list[int] = []
        for number in range(len(raw)):
            candidates = names(raw[number])
            choice = next((n for n, name in enumerate(candidates) if name in there), None)
            if choice is None:
                missing.append(number)
            else:
                self._numbers.append(number)
                self._choices.append(choice)
        if missing:
            self._report(missing, folder)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        row = self._raw[self._numbers[index]]
        return {**row, self._key: self._names(row)[self._choices[index]]}

    def where(self, index: int, /) -> str:
        """Return the place of a row in its file."""
        return self._raw.where(self._numbers[index])

    def _report(self, missing: Sequence[int], folder: Path) -> None:
        """Say how many rows have no file; if none has one, that is an error."""
        first = missing[0]
        message = (
            f"{len(missing):,} of {len(self._raw):,} rows have no file in {str(folder)!r} and are "
            f"left out, such as {self._raw.where(first)}, whose file may be called "
            f"{self._names(self._raw[first])[0]!r}"
        )
        if not len(self):
            raise DataError(f"{message}; give the folder of the files as media")
        logger.warning("%s", message)


def _files_in(folder: Path) -> set[str]:
    """The names of the files in a folder."""
    try:
        with os.scandir(folder) as found:
            return {entry.name for entry in found if entry.is_file()}
    except OSError as error:
        raise DataError(f"the media folder {str(folder)!r} cannot be listed: {error}") from error
