"""Our own format: `messages` as in the REST API, and perhaps `id` and `meta`.

Or plain rows that a prompt makes conversations of. Does not check the messages: what reads a record
does, and refuses other keys.
"""

from pathlib import Path

from anymal.data.containers.choose import open_raw
from anymal.data.options import Options
from anymal.data.rows import Mapped, Rows


def open_anymal(path: Path, options: Options) -> Rows:
    """Open a file of conversations.

    Args:
        path: JSONL, or another file of rows.
        options: As the recipe says.

    Raises:
        DataError: The file cannot be opened.
    """
    make = (lambda row: row) if options.prompt is None else options.prompt.conversation
    return Mapped.of(path, open_raw(path), options, make=make)
