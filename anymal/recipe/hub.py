"""A repository of the Hub as a folder on this machine.

Downloads what the Hub's local cache lacks, if that is allowed. Does not upload, and does not look
into the files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

# What a call of the Hub raises: it answers with an error, cannot be reached, the connection is lost
# half-way, or nothing is here. HTTPError is that of the HTTP library which huggingface_hub uses.
HUB_ERRORS: tuple[type[Exception], ...] = (HTTPError, OSError)


class NotFetched(Exception):
    """A repository is not here, and may not or cannot be downloaded; its words say what to do."""


def fetch(
    repo: str,
    *,
    kind: Literal["model", "dataset"] = "model",
    revision: str | None,
    allow_hub: bool,
    patterns: Sequence[str],
    ignored: Sequence[str] = (),
) -> Path:
    """Find a repository, or download it.

    Args:
        repo: `ORG/NAME`.
        kind: Of repository.
        revision: A branch, tag or commit; None is the newest, or the one that is here.
        allow_hub: Download what the local cache lacks.
        patterns: Of the names of the files to download, with `*`.
        ignored: Patterns of files among these that are not needed.

    Returns:
        A folder of the Hub's cache, which may hold other files that were downloaded before.

    Raises:
        NotFetched: It is not here, and may not or cannot be downloaded.
        HFValidationError: The Hub has no such names.
    """
    try:
        found = snapshot_download(
            repo,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(patterns) if allow_hub else None,
            ignore_patterns=list(ignored) if allow_hub else None,
            local_files_only=not allow_hub,
        )
    except HUB_ERRORS as error:
        if allow_hub:
            raise NotFetched(
                "see whether the Hub can be reached, and whether you may read it "
                f"({reason_of(error)})"
            ) from error
        at = "" if revision is None else f" --revision {revision}"
        raise NotFetched(
            f"download it (hf download {repo}{at}), or allow that with --allow-hub "
            "(ANYMAL_ALLOW_HUB=1)"
        ) from error
    return Path(found)


def reason_of(error: Exception) -> str:
    """The first line of what the Hub's client says; the others tell how to use it from Python."""
    return str(error).strip().partition("\n")[0]
