"""AudioSet: clips of YouTube and the names of what is heard in them.

The table has comments, then `YTID, start_seconds, end_seconds, positive_labels`; the names of the
labels come from `class_labels_indices.csv` beside it. Does not fetch sounds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.containers.csv import Csv
from anymal.data.containers.with_files import WithFiles
from anymal.data.options import Options
from anymal.data.published_table import open_table
from anymal.data.rows import Mapped, Rows
from anymal.data.sound_names import clip_names
from anymal.errors import DataError
from anymal.recipe.prompts import PROMPTS

_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")
_LABELS = "class_labels_indices.csv"
_BETWEEN_LABELS = "; "  # names of labels have commas in them


def open_audioset(path: Path, options: Options) -> Rows:
    """Open `balanced_train_segments.csv` or its like; the sounds are in the media folder.

    Raises:
        DataError: A table cannot be read, or there is no sound for any of its rows.
    """
    names = _read_labels(path.with_name(_LABELS))
    table = Csv(path, columns=_COLUMNS, comment="#", skips_space=True)
    raw = WithFiles(
        table,
        lambda row: clip_names(row["YTID"], row["start_seconds"]),
        options.media_of(path),
        key="audio",
    )
    style = options.prompt or PROMPTS["audio"]
    return Mapped.of(path, raw, options, make=lambda row: style.conversation(_plain(row, names)))


def _plain(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The row that a prompt takes."""
    labels = row["positive_labels"].split(",")
    if unknown := [label for label in labels if label not in names]:
        raise DataError(f"{', '.join(unknown)} is not in {_LABELS}")
    text = _BETWEEN_LABELS.join(names[label] for label in labels)
    return {
        "id": f"{row['YTID']}_{row['start_seconds']}",
        "audio": row["audio"],
        "text": text,
    }


def _read_labels(path: Path) -> dict[str, str]:
    """What each label is called."""
    table = open_table(path, ["mid", "display_name"])
    rows = [table[number] for number in range(len(table))]
    return {row["mid"]: row["display_name"] for row in rows}
