"""AudioCaps: sounds of YouTube and what is heard in them, one caption a row.

The table is `audiocap_id,youtube_id,start_time,caption`. Does not fetch sounds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.containers.with_files import WithFiles
from anymal.data.options import Options
from anymal.data.published_table import open_table
from anymal.data.rows import Mapped, Rows
from anymal.data.sound_names import clip_names
from anymal.recipe.prompts import PROMPTS

_COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")


def open_audiocaps(path: Path, options: Options) -> Rows:
    """Open `train.csv` or its like; the sounds are in the media folder.

    Raises:
        DataError: The table has other columns, or there is no sound for any of its rows.
    """
    table = open_table(path, _COLUMNS)
    raw = WithFiles(table, _names, options.media_of(path), key="audio")
    style = options.prompt or PROMPTS["audio"]
    return Mapped.of(path, raw, options, make=lambda row: style.conversation(_plain(row)))


def _names(row: Mapping[str, Any]) -> list[str]:
    return clip_names(row["youtube_id"], row["start_time"])


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row that a prompt takes."""
    return {"id": row["audiocap_id"], "audio": row["audio"], "text": row["caption"]}
