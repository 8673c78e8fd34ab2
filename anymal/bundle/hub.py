"""A bundle of the Hub, named `ORG/NAME` or `ORG/NAME@REV`, as a folder of this machine.

Does not upload (see `share.py`), and downloads only what is allowed. The Hub's cache keeps files
once and links to them, so that a folder from there may hold links into that cache, and no others.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from anymal.errors import BundleError
from anymal.recipe.hub import NotFetched, fetch

_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w./-]+))?", flags=re.ASCII)
# What a bundle can hold, in any folder; nothing pickled.
_FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.md"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubBundle:
    """The name of a bundle on the Hub.

    Attributes:
        repo: `ORG/NAME`.
        revision: A branch, tag or commit; None is the newest, or the one that is here.
    """

    repo: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a name; None for anything else, and for folders that are there."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        try:
            validate_repo_id(match[1])
        except HFValidationError:  # the Hub has no names with "--" or "..", and no long ones
            return None
        if Path(text).exists():
            return None
        return cls(repo=match[1], revision=match[2])

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    def folder(self, *, allow_hub: bool) -> Path:
        """Where its files are.

        Args:
            allow_hub: Download what the local cache lacks.

        Returns:
            A folder of the Hub's cache.

        Raises:
            BundleError: It is not here and may not, or cannot, be downloaded.
        """
        try:
            return fetch(self.repo, revision=self.revision, allow_hub=allow_hub, patterns=_FETCHED)
        except NotFetched as error:
            raise BundleError(
                f"{str(self)!r} is not a bundle folder, and no bundle of the Hub that is on this "
                "machine; give the folder that training wrote (RUN_DIR/bundle), or tiny; if it is "
                f"a bundle of the Hub, {error}"
            ) from error


def blobs_of(folder: Path) -> Path:
    """Where the files of a folder from the Hub's cache lie, to which it links."""
    return folder.parent.parent / "blobs"
