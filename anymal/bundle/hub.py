"""A bundle of the Hub, named `ORG/NAME` or `ORG/NAME@REV`, as a folder of this machine.

Does not upload (see `share.py`), and downloads only what is allowed. The Hub's cache keeps files
once and links to them, so that a folder from there may hold links into that cache, and no others.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from anymal.errors import BundleError

_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w./-]+))?", flags=re.ASCII)
# What a call of the Hub raises: it answers with an error, cannot be reached, or nothing is here.
# HTTPError is that of the HTTP library which this version of huggingface_hub uses.
HUB_ERRORS: tuple[type[Exception], ...] = (
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OSError,
)
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
            found = snapshot_download(
                self.repo,
                revision=self.revision,
                allow_patterns=_FETCHED if allow_hub else None,
                local_files_only=not allow_hub,
            )
        except HUB_ERRORS as error:
            step = (
                "see whether the Hub can be reached, and whether you may read it "
                f"({reason_of(error)})"
                if allow_hub
                else "if it is a bundle of the Hub, allow its download with --allow-hub "
                "(ANYMAL_ALLOW_HUB=1)"
            )
            raise BundleError(
                f"{str(self)!r} is not a bundle folder, and no bundle of the Hub that is on this "
                f"machine; give the folder that training wrote (RUN_DIR/bundle), or tiny; {step}"
            ) from error
        return Path(found)


def reason_of(error: Exception) -> str:
    """The first line of what the Hub's client says; the others tell how to use it from Python."""
    return str(error).strip().partition("\n")[0]


def blobs_of(folder: Path) -> Path:
    """Where the files of a folder from the Hub's cache lie, to which it links."""
    return folder.parent.parent / "blobs"
