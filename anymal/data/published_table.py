"""A table whose columns are published: one with other columns is refused when it is opened.

Does not read rows.
"""

from collections.abc import Collection
from pathlib import Path

from anymal.data.containers.csv import Csv
from anymal.errors import DataError


def open_table(path: Path, columns: Collection[str]) -> Csv:
    """Open a table.

    Args:
        path: The file.
        columns: Those that it has to have.

    Raises:
        DataError: There is no such file, or it lacks columns.
    """
    table = Csv(path)
    if missing := [name for name in columns if name not in table.columns]:
        raise DataError(
            f"{path} has the columns {', '.join(table.columns)}; this format needs "
            f"{', '.join(columns)}; missing: {', '.join(missing)}"
        )
    return table
