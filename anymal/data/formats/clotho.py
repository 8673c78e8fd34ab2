"""Clotho: sounds of Freesound, five captions each; every caption becomes a record.

The table is `file_name,caption_1,...,caption_5`. Does not read the table of licences beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.containers.raw import Raw
from anymal.data.containers.with_files import WithFiles
from anymal.data.options import Options
from anymal.data.published_table import open_table
from anymal.data.rows import Mapped, Rows
from anymal.data.sound_names import converted_names
from anymal.recipe.prompts import PROMPTS

_NUM_CAPTIONS = 5


class OneCaptionEach:
    """Rows with several captions, as one row for each caption."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw) * _NUM_CAPTIONS

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        number, caption = divmod(index, _NUM_CAPTIONS)
        row = self._raw[number]
        return {
            "id": f"{row['file_name']}:{caption + 1}",
            "audio": row["audio"],
            "text": row[f"caption_{caption + 1}"],
        }

    def where(self, index: int, /) -> str:
        """Return the place of the row, and the column of the caption."""
        number, caption = divmod(index, _NUM_CAPTIONS)
        return f"{self._raw.where(number)}:caption_{caption + 1}"


def open_clotho(path: Path, options: Options) -> Rows:
    """Open `clotho_captions_development.csv` or its like; the sounds are in the media folder.

    Raises:
        DataError: The table has other columns, or there is no sound for any of its rows.
    """
    table = open_table(path, ["file_name", *(f"caption_{n + 1}" for n in range(_NUM_CAPTIONS))])
    sounds = WithFiles(
        table, lambda row: converted_names(row["file_name"]), options.media_of(path), key="audio"
    )
    style = options.prompt or PROMPTS["audio"]
    return Mapped.of(path, OneCaptionEach(sounds), options, make=style.conversation)
