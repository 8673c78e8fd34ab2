"""The interface of a file of rows, and what all kinds of it need.

Does not know what the rows mean; `anymal.data.formats` does.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from anymal.errors import DataError


class Raw(Protocol):
    """The rows of a file, each read when it is asked for.

    Opening finds out where the rows are and checks nothing in them; memory does not grow with what
    they hold. Threads may read at once.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        """Read one row.

        Raises:
            DataError: It is broken; the message begins with its place.
        """

    def where(self, index: int, /) -> str:
        """Return the place of a row, counted from 1, as `train.json:17`."""


def parse_object(text: bytes, *, where: str) -> Mapping[str, Any]:
    """Parse the JSON object that is one row.

    Raises:
        DataError: It is no JSON, or no object; the message begins with `where`.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error}); repair or remove it") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: a record is an object, not {type(row).__name__}")
    return row
