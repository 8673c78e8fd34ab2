"""Arrow files as raw rows: the stream format, which `datasets` saves, and the file format.

The files are mapped, so that rows take memory only while they are read. Does not interpret columns.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from anymal.data.containers.groups import Group, GroupedRows
from anymal.errors import DataError

_FILE_FORMAT = b"ARROW1"


def open_arrow(*paths: Path) -> GroupedRows:
    """Open the files of one table.

    Raises:
        DataError: One of them is no Arrow file, or is damaged.
    """
    files = {path: _table(path) for path in paths}
    groups = [group for path, table in files.items() for group in _groups(path, table)]
    return GroupedRows(groups, files[paths[0]].schema)


def _table(path: Path) -> pa.Table:
    """All batches of one file, where they are in the file."""
    try:
        source = pa.memory_map(str(path))
        is_file_format = source.read(len(_FILE_FORMAT)) == _FILE_FORMAT
        source.seek(0)
        opened = pa.ipc.open_file(source) if is_file_format else pa.ipc.open_stream(source)
        return opened.read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Arrow: {error}") from error


def _groups(path: Path, table: pa.Table) -> Iterator[Group]:
    """The batches of one file."""
    first = 0
    for batch in table.to_batches():
        yield Group(file=str(path), first=first, size=batch.num_rows, read=partial(_select, batch))
        first += batch.num_rows


def _select(batch: pa.RecordBatch, columns: list[str] | None) -> pa.RecordBatch:
    """Some columns of a batch, or all."""
    return batch if columns is None else batch.select(columns)
