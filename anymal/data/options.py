"""What a recipe's data entry says besides its file and format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anymal.recipe.licences import UNKNOWN
from anymal.recipe.prompts import PromptStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to read a data set.

    Attributes:
        media: Folder that media paths are relative to and may not leave; None is the folder of the
            data file.
        columns: From the names that the format knows to those that the file has, where they differ.
        split: Which part of the data set, where a format has several.
        licence: SPDX name, or `unknown`.
        prompt: Words around plain rows, for formats whose rows are no conversations.
    """

    media: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    licence: str = UNKNOWN
    prompt: PromptStyle | None = None

    def media_of(self, path: Path) -> Path:
        """The folder of the media of a data file, or of a folder of data files."""
        if self.media is not None:
            return self.media
        return path if path.is_dir() else path.parent
