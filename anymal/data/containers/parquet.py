"""Parquet files as raw rows, a row group at a time.

Reading one row reads its whole row group, so files for training in random order should have small
ones. Does not interpret columns.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from anymal.data.containers.groups import Group, GroupedRows
from anymal.errors import DataError


def open_parquet(*paths: Path) -> GroupedRows:
    """Open the files of one table; only their footers are read.

    Raises:
        DataError: One of them is no Parquet file.
    """
    groups = [group for path in paths for group in _groups(path)]
    return GroupedRows(groups, pq.read_schema(paths[0]))


def _groups(path: Path) -> Iterator[Group]:
    """The row groups of one file."""
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    first = 0
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).num_rows
        read = partial(_read, path, metadata, number)
        yield Group(file=str(path), first=first, size=size, read=read)
        first += size


def _read(
    path: Path, metadata: pq.FileMetaData, number: int, columns: list[str] | None
) -> pa.Table:
    """One row group, with the footer that was read before."""
    with pq.ParquetFile(path, metadata=metadata) as file:
        return file.read_row_group(number, columns=columns)
