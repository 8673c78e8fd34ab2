"""A file as bytes that are read from disk when they are looked at.

Does not know what the file holds.
"""

import mmap
from pathlib import Path

from anymal.errors import DataError


def mapped(path: Path) -> mmap.mmap:
    """Map a file.

    Raises:
        DataError: There is no such file, or it is empty.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
