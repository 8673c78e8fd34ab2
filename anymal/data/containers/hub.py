"""A data set of the Hub as a folder on this machine.

Downloads what the cache of `huggingface_hub` lacks. Does not look into the files.
"""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from anymal.errors import DataError


def hub_folder(reference: str, patterns: Sequence[str]) -> Path:
    """Fetch files of a data set.

    Args:
        reference: `org/name@revision`.
        patterns: Of the names of the files, with `*`.

    Returns:
        The folder with those files, and perhaps others that were fetched before.

    Raises:
        DataError: It is not here and cannot be downloaded.
    """
    name, _, revision = reference.partition("@")
    try:
        return Path(
            snapshot_download(
                name, repo_type="dataset", revision=revision, allow_patterns=list(patterns)
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise DataError(
            f"the data set {name!r} at revision {revision!r} cannot be fetched from the Hub: "
            f"{error}"
        ) from error
