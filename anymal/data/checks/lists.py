"""Strings where a list belongs: `images: "a.png"`, which other tools read letter by letter.

Looks at a row as its file has it; does not read media.
"""

from collections.abc import Iterator

from anymal.data.checks.mistake import Mistake
from anymal.data.rows import Mapped, Rows
from anymal.modality import MODALITIES

_LISTS = ("messages", "conversations", *(f"{modality}s" for modality in MODALITIES))


def list_mistakes(rows: Rows, index: int) -> Iterator[Mistake]:
    """Find columns that hold a string and should hold a list.

    Args:
        rows: A data set; only those that are read from the rows of a file are checked.
        index: Number of the row.

    Yields:
        A mistake for each.

    Raises:
        DataError: The row cannot be read.
    """
    file = getattr(rows, "rows", rows)  # a prompt or suffix may be around them
    if not isinstance(file, Mapped):
        return
    row = file.raw[index]
    for name in _LISTS:
        if isinstance(value := row.get(name), str) and value:
            yield Mistake(
                kind="not_a_list",
                reason=f"{name} is a string, {value!r:.80}",
                change=f"write a list, {name}: [...]",
            )
