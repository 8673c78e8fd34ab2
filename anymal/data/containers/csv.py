"""Tables of comma- or tab-separated values; each row becomes a mapping of column to text.

Does not guess types or dialects: a value is text, quoted by `"`.
"""

import codecs
import csv
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from anymal.errors import DataError

_DELIMITERS = {".tsv": "\t"}


class Csv:
    """The rows of a table, by number; the line of column names is none of them.

    Args:
        path: A file in UTF-8; `.tsv` is separated by tabs.
        columns: Their names; None takes them from the first line.
        comment: What begins a line that is left out; "" for none.
        skips_space: Whether white space after a delimiter is left out.

    Raises:
        DataError: There is no such file; it has no columns, or two of one name; or its quotes do
            not match.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Sequence[str] | None = None,
        comment: str = "",
        skips_space: bool = False,
    ) -> None:
        if not path.is_file():
            raise DataError(f"{str(path)!r} does not exist, or is no file")
        self.path = path
        self._comment = comment.encode()
        self._dialect: dict[str, Any] = {
            "delimiter": _DELIMITERS.get(path.suffix.lower(), ","),
            "skipinitialspace": skips_space,
            "strict": True,  # else a quote that is left open joins rows
        }
        self._offsets = array("Q")
        with path.open("rb") as file:
            records = self._records(file)
            self.columns = list(columns) if columns is not None else self._names(records)
            for offset, fields in records:
                if fields:
                    self._offsets.append(offset)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        with self.path.open("rb") as file:
            file.seek(self._offsets[index])
            _, fields = next(self._records(file))
        if len(fields) != len(self.columns):
            raise DataError(
                f"{self.where(index)}: {len(fields)} values for {len(self.columns)} columns "
                f'({", ".join(self.columns)}); quote values that hold a delimiter, as "a, b"'
            )
        return dict(zip(self.columns, fields, strict=True))

    def where(self, index: int, /) -> str:
        """Return `file:number of the row`."""
        return f"{self.path}:{range(len(self))[index] + 1}"

    def _names(self, records: Iterator[tuple[int, list[str]]]) -> list[str]:
        """The names of the columns."""
        names = next((fields for _, fields in records if fields), [])
        if not names or len(set(names)) != len(names):
            raise DataError(
                f"{self.path}: the first line must name each column once; it holds {names}"
            )
        return names

    def _records(self, file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
        """Yield the offset and the values of each row from where the file stands."""
        start = file.tell()
        try:
            for fields in csv.reader(self._lines(file), **self._dialect):
                yield start, fields
                start = file.tell()
        except csv.Error as error:
            raise DataError(
                f"{self.path}: the row at byte {start:,}: {error}; close the quote that opens a "
                'value, and write one inside it twice, as "a ""b"" c"'
            ) from error

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        """The lines as text; broken UTF-8 becomes halves of characters, which messages refuse."""
        for line in file:
            if not (self._comment and line.startswith(self._comment)):
                yield line.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
