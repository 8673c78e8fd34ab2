"""Files and folders that appear whole or not at all, whatever ends the process or the machine.

The content is written beside its place, flushed to disk, and takes the place by one rename.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Matches what a killed process leaves behind.
LEFTOVERS = ".*.writing"


@contextmanager
def write_file(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Replace a file by what is written to the yielded one; after an error, nothing has changed.

    Args:
        path: In a folder that exists.
        mode: Permissions, less the umask.

    Raises:
        OSError: It cannot be written.
    """
    # A name of its own, because two processes may replace the same file.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.writing")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        flush(draft)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush(path.parent)


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Replace a folder by the yielded new one; after an error, the old one is still there.

    Args:
        path: Its parents are made. Only one process may write it at a time.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, old = path.with_name(f".{path.name}.writing"), path.with_name(f".{path.name}.old")
    _put_back(old, path)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        for inner in [*draft.rglob("*"), draft]:
            flush(inner)
        if path.exists():
            os.replace(path, old)
        os.replace(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        _put_back(old, path)
        raise
    flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _put_back(old: Path, path: Path) -> None:
    """Undo the first of two renames if the second did not happen; else remove what is replaced."""
    if old.exists() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
