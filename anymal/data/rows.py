"""The interface of an opened data set: conversations by number, each with its place.

Does not know any file or format.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from anymal.data.containers.raw import Raw
from anymal.data.media_folder import with_films
from anymal.data.options import Options
from anymal.data.unread import Unread
from anymal.errors import AnymalError, DataError

Record = Mapping[str, Any]
"""`messages` as the REST API has them, and perhaps `id` and `meta`.

A message of the assistant may have `loss: false`: it is read, and not learnt.
"""


class Rows(Protocol):
    """The records of a data set, each read when it is asked for. Threads may read at once."""

    @property
    def base_dir(self) -> Path:
        """The folder that paths in records are relative to."""

    @property
    def licence(self) -> str:
        """SPDX name, or `unknown`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record:
        """Read one record.

        Raises:
            DataError: It cannot be used; the message begins with its place.
        """

    def in_file(self, index: int, /) -> Mapping[str, Any]:
        """Read the row of the file that a record is made from, as it is there.

        Raises:
            DataError: It is broken; the message begins with its place.
        """

    def where(self, index: int, /) -> str:
        """Return the place of a record, counted from 1, as `train.json:17`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """Rows of a file, each made into a record when it is asked for.

    Attributes:
        raw: The rows.
        make: From a row to a record.
        base_dir: Folder that paths in records are relative to.
        licence: SPDX name, or `unknown`.
        columns: From the names that `make` knows to those of the file, where they differ.
        known: Names that `make` reads.
        unread: Warns of other names, which are left out; None: `make` does.
    """

    raw: Raw
    make: Callable[[Mapping[str, Any]], Record]
    base_dir: Path
    licence: str
    columns: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    unread: Unread | None = None

    @classmethod
    def of(
        cls,
        path: Path,
        raw: Raw,
        options: Options,
        make: Callable[[Mapping[str, Any]], Record],
        known: Iterable[str] | None = None,
    ) -> "Mapped":
        """Map the rows of a file as its options say."""
        return cls(
            raw=raw,
            make=make,
            base_dir=options.media_of(path),
            licence=options.licence,
            columns=options.columns,
            known=frozenset(known or ()),
            unread=None if known is None else Unread(path),
        )

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: int, /) -> Record:
        row = self._named(self.raw[index])
        if self.unread is not None:
            self.unread.tell(row, self.known)
        try:
            record = self.make(row)
            return {**record, "messages": with_films(record.get("messages"), self.base_dir)}
        except AnymalError as error:
            raise DataError(f"{self.where(index)}: {error}") from error

    def in_file(self, index: int, /) -> Mapping[str, Any]:
        """Read the row as its file has it."""
        return self.raw[index]

    def where(self, index: int, /) -> str:
        """Return the place of a record."""
        return self.raw.where(index)

    def _named(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row under the names that `make` knows."""
        if not self.columns:
            return row
        moved = {*self.columns, *self.columns.values()}
        kept = {name: value for name, value in row.items() if name not in moved}
        return kept | {name: row[own] for name, own in self.columns.items() if own in row}


@dataclass(frozen=True, slots=True)
class Around:
    """What classes share that change the records of another data set, or choose among them."""

    rows: Rows

    @property
    def base_dir(self) -> Path:
        """The folder that paths in records are relative to."""
        return self.rows.base_dir

    @property
    def licence(self) -> str:
        """SPDX name, or `unknown`."""
        return self.rows.licence

    def __len__(self) -> int:
        return len(self.rows)

    def in_file(self, index: int, /) -> Mapping[str, Any]:
        """Read the row as its file has it."""
        return self.rows.in_file(index)

    def where(self, index: int, /) -> str:
        """Return the place of a record."""
        return self.rows.where(index)


@dataclass(frozen=True, slots=True)
class Chosen(Around):
    """Some records of a data set, in a given order; each keeps its place."""

    indices: "array[int]"

    @classmethod
    def of(cls, rows: Rows, indices: Iterable[int]) -> "Chosen":
        """Choose records by their numbers."""
        return cls(rows, array("Q", indices))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Record:
        return self.rows[self.indices[index]]

    def in_file(self, index: int, /) -> Mapping[str, Any]:
        """Read the row as its file has it."""
        return self.rows.in_file(self.indices[index])

    def where(self, index: int, /) -> str:
        """Return the place of a record."""
        return self.rows.where(self.indices[index])
