"""Weights that can be made again, kept in the user's cache folder up to a number of bytes.

Each file is named by the digest of what it was made from. The files used least recently go first.
Does not know what the files hold (see `kept_weights.py`).

    $XDG_CACHE_HOME/anymal/serving-weights/DIGEST.safetensors    or in ~/.cache
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anymal.durable import LEFTOVERS
from anymal.errors import BundleError
from anymal.llm.user_cache import user_cache

VARIABLE = "ANYMAL_KEPT_WEIGHTS_BYTES"
# A 7B in 4 or 8 bits, or a 135M in float32 fifteen times.
_MOST_BYTES = 8 * 2**30
_SUFFIX = ".safetensors"
_ABANDONED_S = 3600  # after which an unfinished file has no writer any more


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """One file of the cache.

    Attributes:
        path: Where it is.
        num_bytes: Its size.
        used: When it was used last, in seconds since 1970.
    """

    path: Path
    num_bytes: int
    used: float


def weights_folder() -> Path:
    """The folder; it need not be there."""
    return user_cache() / "serving-weights"


def most_bytes() -> int:
    """How many bytes the folder may hold; 0 keeps and uses none.

    Raises:
        BundleError: The environment variable is no number of bytes.
    """
    said = os.environ.get(VARIABLE) or str(_MOST_BYTES)
    if not said.isdecimal():
        raise BundleError(f"{VARIABLE} is {said!r}; give a number of bytes, or 0 to keep none")
    return int(said)


def file_of(digest: str) -> Path:
    """Where the weights of a digest are, if they are kept."""
    return weights_folder() / f"{digest}{_SUFFIX}"


def kept_files() -> list[KeptFile]:
    """All files, those used least recently first."""
    found = []
    for path in weights_folder().glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # another process has just removed it
            stat = path.stat()
            found.append(KeptFile(path=path, num_bytes=stat.st_size, used=stat.st_mtime))
    return sorted(found, key=lambda kept: kept.used)


def check_own() -> None:
    """Refuse a folder into which others than this user and root can put files.

    Raises:
        PermissionError: It is such a folder.
        OSError: It is not there, or cannot be looked at.
    """
    if not hasattr(os, "getuid"):  # Windows, where a profile's folders are its user's
        return
    folder = weights_folder()
    stat = folder.stat()
    if stat.st_uid not in (os.getuid(), 0) or stat.st_mode & 0o002:
        raise PermissionError(
            f"others can put files into {str(folder)!r}; remove it, or set XDG_CACHE_HOME to a "
            "folder of your own"
        )


def note_use(path: Path) -> None:
    """Make a file the one that was used last; a folder that is only read stays as it is."""
    with suppress(OSError):
        os.utime(path)


def make_room(num_bytes: int) -> bool:
    """Make the folder, and remove what is in the way of a file.

    Args:
        num_bytes: Size of the file.

    Returns:
        Whether there is room for it at all; if not, nothing was removed.

    Raises:
        OSError: The folder cannot be made or is open to others, or a file cannot be removed.
    """
    most = most_bytes()
    if num_bytes > most:
        return False
    folder = weights_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_own()
    _remove_leftovers(folder)
    kept = kept_files()
    held = sum(each.num_bytes for each in kept)
    for each in kept:
        if held + num_bytes <= most:
            break
        each.path.unlink(missing_ok=True)  # a process that has mapped it can still read it
        held -= each.num_bytes
    return True


def clear() -> int:
    """Remove all files.

    Returns:
        How many bytes they had.

    Raises:
        OSError: One cannot be removed.
    """
    kept = kept_files()
    for each in kept:
        each.path.unlink(missing_ok=True)
    _remove_leftovers(weights_folder())
    return sum(each.num_bytes for each in kept)


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left unfinished."""
    for path in folder.glob(LEFTOVERS):
        with suppress(FileNotFoundError):  # finished, or removed, by another process
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()
