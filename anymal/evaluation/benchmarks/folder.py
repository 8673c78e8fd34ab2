"""The folder of a benchmark: its files and media, or an error that shows how it is laid out.

Does not download, and does not know any benchmark.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from anymal.data.containers.csv import Csv
from anymal.data.containers.jsonl import Jsonl
from anymal.data.containers.raw import Raw
from anymal.errors import AnymalError, DataError

Row = Mapping[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Where a benchmark lies.

    Attributes:
        path: The folder.
        name: The benchmark's.
        layout: What it holds, one file or folder each.
    """

    path: Path
    name: str
    layout: Sequence[str]

    def fail(self, found: str) -> NoReturn:
        """Refuse the folder.

        Raises:
            DataError: It says what was found, and how the folder should be laid out.
        """
        expected = "\n".join(f"  {line}" for line in self.layout)
        raise DataError(
            f"{self.name}: {found}; --data has to name a folder that holds these, by itself "
            f"or in a folder {self.name}:\n{expected}"
        )

    def file(self, *names: str) -> Path:
        """The first of some files that is there."""
        paths = [self.path / name for name in names]
        found = next((path for path in paths if path.is_file()), None)
        return found or self.fail(f"no {' or '.join(names)} in {self.path}")

    def json(self, *names: str) -> Any:
        """What a JSON file holds, the first that is there."""
        path = self.file(*names)
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            self.fail(f"{path} is not JSON ({error})")

    def json_lines(self, *names: str) -> list[Row]:
        """The objects of a JSONL file, the first that is there."""
        return _rows_of(Jsonl(self.file(*names)))

    def table(self, name: str, columns: Sequence[str] | None = None) -> list[Row]:
        """The rows of a CSV file; with `columns`, it names none."""
        return _rows_of(Csv(self.file(name), columns=columns))

    def rows(self, rows: Any, what: str, keys: Iterable[str]) -> list[Row]:
        """Rows that are objects with certain keys, checked.

        Args:
            rows: What should be a list of them.
            what: What errors call it.
            keys: Those that each row has to have, and not empty.
        """
        if not isinstance(rows, list) or not rows:
            self.fail(f"{what} holds no list of rows")
        needed = set(keys)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                self.fail(f"{what}, row {number} is no object")
            if missing := sorted(key for key in needed if row.get(key) in (None, "")):
                self.fail(f"{what}, row {number} has no {', '.join(missing)}")
        return rows

    def all_media(self, folder: str, names: Iterable[str]) -> None:
        """Make sure that media are there.

        Args:
            folder: Below this one, as in the layout.
            names: Relative to it.
        """
        root = self.path / folder
        missing = [name for name in dict.fromkeys(names) if not (root / name).is_file()]
        if missing:
            self.fail(f"{len(missing):,} media are not in {root}, such as {missing[0]}")

    def files(self, folder: str) -> frozenset[str]:
        """The files below a folder, relative to it."""
        root = self.path / folder
        if not root.is_dir():
            self.fail(f"no folder {root}")
        found = []
        for place, _, names in os.walk(root, followlinks=True):
            below = os.path.relpath(place, root)
            found += names if below == os.curdir else [f"{below}/{name}" for name in names]
        return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Sequence[Item]):
    """The questions of a benchmark, each made when it is asked for.

    Attributes:
        rows: The official ones.
        make: From a row to a question.
    """

    rows: Sequence[Any]
    make: Callable[[Any], Item]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        """Make one.

        Raises:
            DataError: The row is not as published.
        """
        row = self.rows[index]
        try:
            return self.make(row)
        except AnymalError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"question {index + 1} is not as published ({error!r}): {row!r:.300}"
            ) from error


def _rows_of(raw: Raw) -> list[Row]:
    return [raw[index] for index in range(len(raw))]
