"""Everything that is shown of one row.

Does not draw; `terminal` and `page` do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anymal.data.checks.media import CheckedMedium, DecodeOne
from anymal.data.checks.mistake import Mistake
from anymal.data.checks.row import Model, decoded_before, read_row
from anymal.data.rows import Rows
from anymal.data.show.pieces import Piece, pieces_of
from anymal.errors import DataError
from anymal.protocol.conversation import Conversation


class ReadingModel(Model, Protocol):
    """A model that also tells what it reads."""

    def pieces(
        self, conversation: Conversation, base_dir: Path, decode: DecodeOne
    ) -> Iterator[Piece]:
        """Cut a conversation into runs of one kind.

        Raises:
            AnymalError: The model does not take it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """One row.

    Attributes:
        where: Its place.
        pieces: Its words; as a model reads them, if there is one and it takes the row.
        media: Its media, in order.
        mistakes: What is wrong with it.
    """

    where: str
    pieces: Sequence[Piece]
    media: Sequence[CheckedMedium]
    mistakes: Sequence[Mistake]


def look_at(rows: Rows, index: int, model: ReadingModel | None) -> ShownRow:
    """Read one row to show it.

    Args:
        rows: A data set.
        index: Number of the row.
        model: Cuts it into what it reads and learns; None takes whole messages.

    Returns:
        What to show, also where the row has mistakes.

    Raises:
        DataError: It cannot be read at all.
    """
    read = read_row(rows, index, model)
    conversation, media, mistakes = read.conversation, read.media, read.checked.mistakes
    if conversation is None:
        told = "; ".join(f"{one.reason}; {one.change}" for one in mistakes)
        raise DataError(f"{rows.where(index)}: {told}")
    if model is None or any(medium.signal is None for medium in media) or _is_unfit(mistakes):
        pieces = list(pieces_of(conversation))
    else:
        pieces = list(model.pieces(conversation, rows.base_dir, decoded_before(media)))
    return ShownRow(where=rows.where(index), pieces=pieces, media=media, mistakes=mistakes)


def index_of(rows: Rows, row: str) -> int:
    """Find the row that a place names, as `check` writes places.

    Args:
        rows: A data set.
        row: Its place, or the end of that: `17` of `train.jsonl:17`; where several end so, the
            first is meant.

    Returns:
        Its number.

    Raises:
        DataError: There is none.
    """
    for index in range(len(rows)):
        where = rows.where(index)
        if where == row or where.endswith((f":{row}", f"/{row}")):
            return index
    first, last = (rows.where(index).rpartition(":")[2] for index in (0, len(rows) - 1))
    raise DataError(f"there is no row {row}; the data set has rows {first} to {last}")


def _is_unfit(mistakes: Sequence[Mistake]) -> bool:
    """Whether the model cannot read the row."""
    return any(mistake.kind == "unfit" for mistake in mistakes)
