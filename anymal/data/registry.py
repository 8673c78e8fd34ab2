"""The formats by name, and how a recipe's data entry is opened: the one way to read a data set.

Does not import a format before it is asked for, and calls no Python sources (`train` does).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from anymal.data.options import Options
from anymal.data.rows import Record, Rows
from anymal.errors import ConversationError, DataError
from anymal.recipe.prompts import PROMPTS, PromptStyle
from anymal.recipe.schema import DataFormat, DataRecipe
from anymal.recipe.suffixes import SUFFIXES, with_suffix

Open = Callable[[Path, Options], Rows]

# `module:function` in anymal.data.formats, each an `Open`.
FORMATS: dict[str, str] = {
    "anymal": "anymal:open_anymal",
}


def open_rows(entry: DataRecipe) -> Rows:
    """Open the data set that an entry of a recipe names.

    Args:
        entry: With `manifest`; its paths are absolute.

    Returns:
        Its rows, with the prompt and the suffix of the entry.

    Raises:
        DataError: It cannot be opened; a row that is broken is an error of the row, when it is
            read.
    """
    options = Options(
        media=None if entry.media is None else Path(entry.media),
        columns=entry.columns,
        split=entry.split,
        licence=entry.licence,
    )
    rows = find_format(entry.format)(Path(str(entry.manifest)), options)
    if entry.prompt is None and entry.suffix is None:
        return rows
    return _Worded(
        rows,
        None if entry.prompt is None else PROMPTS[entry.prompt],
        None if entry.suffix is None else SUFFIXES[entry.suffix],
    )


def find_format(name: DataFormat) -> Open:
    """Import what opens a format."""
    module, _, function = FORMATS[name].partition(":")
    found: Open = getattr(import_module(f"anymal.data.formats.{module}"), function)
    return found


@dataclass(frozen=True, slots=True)
class _Worded:
    """Rows with a prompt around them, or a suffix behind their questions."""

    rows: Rows
    prompt: PromptStyle | None
    suffix: str | None

    @property
    def base_dir(self) -> Path:
        return self.rows.base_dir

    @property
    def licence(self) -> str:
        return self.rows.licence

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Record:
        record = self.rows[index]
        if self.prompt is not None:
            try:
                record = self.prompt.conversation(record)
            except ConversationError as error:
                raise DataError(f"{self.where(index)}: {error}") from error
        return record if self.suffix is None else with_suffix(record, self.suffix)

    def where(self, index: int, /) -> str:
        return self.rows.where(index)
