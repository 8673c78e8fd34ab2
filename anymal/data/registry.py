"""The formats by name, and how a recipe's data entry is opened: the one way to read a data set.

Does not import a format before it is asked for, and calls no Python sources (`train` does).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from anymal.data.options import Options
from anymal.data.rows import Around, Record, Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataFormat, DataRecipe
from anymal.recipe.own_prompt import style_of
from anymal.recipe.suffixes import SUFFIXES, with_suffix
from anymal.recipe.task_tags import TAGS, with_tag

Open = Callable[[Path, Options], Rows]

# `module:function` in anymal.data.formats, each an `Open`.
FORMATS: dict[str, str] = {
    "anymal": "anymal:open_anymal",
    "llava": "llava:open_llava",
    "sharegpt": "sharegpt:open_sharegpt",
    "swift": "swift:open_swift",
    "trl": "trl:open_trl",
    "mimicit": "mimicit:open_mimicit",
    "hf": "hf:open_hf",
    "webdataset": "webdataset:open_webdataset",
    "audiocaps": "audiocaps:open_audiocaps",
    "clotho": "clotho:open_clotho",
    "audioset": "audioset:open_audioset",
    "ego4d": "ego4d:open_ego4d",
    "folder": "folder:open_folder",
    "rlhf_v": "pairs:open_rlhf_v",
    "hsa_dpo": "pairs:open_hsa_dpo",
    "llava_hound": "pairs:open_llava_hound",
    "povid": "pairs:open_povid",
    "halva": "halva:open_halva",
    "vlfeedback": "scored:open_vlfeedback",
    "bpo": "scored:open_bpo",
}
# Formats that have questions of their own, so that no prompt belongs around them.
CONVERSATIONS = frozenset(
    {
        *("llava", "sharegpt", "swift", "trl", "mimicit", "rlhf_v", "hsa_dpo", "llava_hound"),
        *("povid", "halva", "vlfeedback", "bpo"),
    }
)


def open_rows(entry: DataRecipe) -> Rows:
    """Open the data set that an entry of a recipe names.

    Args:
        entry: With `manifest`; its paths are absolute.

    Returns:
        Its rows, with the prompt, the suffix and the tag of the entry.

    Raises:
        DataError: It cannot be opened or has no rows; a row that is broken is an error of the row,
            when it is read.
    """
    if entry.prompt is not None and entry.format in CONVERSATIONS:
        raise DataError(
            f"rows of the format {entry.format} are whole conversations already; leave prompt out"
        )
    options = Options(
        media=None if entry.media is None else Path(entry.media),
        columns=entry.columns,
        split=entry.split,
        licence=entry.licence,
        prompt=None if entry.prompt is None else style_of(entry.prompt),
    )
    rows = find_format(entry.format)(Path(str(entry.manifest)), options)
    if not len(rows):
        raise DataError(f"{entry.manifest!r} has no rows")
    if entry.suffix is not None:
        rows = _Changed(rows, partial(with_suffix, suffix=SUFFIXES[entry.suffix]))
    return rows if entry.tag is None else _Changed(rows, partial(with_tag, tag=TAGS[entry.tag]))


def find_format(name: DataFormat) -> Open:
    """Import what opens a format."""
    module, _, function = FORMATS[name].partition(":")
    found: Open = getattr(import_module(f"anymal.data.formats.{module}"), function)
    return found


@dataclass(frozen=True, slots=True)
class _Changed(Around):
    """Rows with words before or behind their questions."""

    change: Callable[[Record], Record]

    def __getitem__(self, index: int, /) -> Record:
        return self.change(self.rows[index])
