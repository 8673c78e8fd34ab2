"""One path that names several files: `name-{000000..000009}.tar`, a glob, a folder of shards.

Does not open them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from anymal.errors import DataError

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_GLOB = re.compile(r"[*?]")
_MOST_FILES = 1_000_000


def find_shards(path: Path, ending: str) -> list[Path]:
    """The files that a path stands for, in the order of their names.

    Args:
        path: A file; a folder, whose files with `ending` are taken; a pattern with `*` or `?`; or
            ranges in braces, whose width says how many digits a number has.
        ending: Such as `.tar`.

    Returns:
        At least one file.

    Raises:
        DataError: There is none, or one of a range is missing.
    """
    shards = list(_named(path, ending))
    if not shards:
        raise DataError(f"{str(path)!r} holds no {ending} file")
    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(shards)} files of {str(path)!r} do not exist, such as "
            f"{str(missing[0])!r}"
        )
    return shards


def _named(path: Path, ending: str) -> Iterator[Path]:
    """The files, those of a range whether they exist or not."""
    if _RANGE.search(str(path)):
        yield from map(Path, _expanded(str(path)))
    elif path.is_dir():
        yield from sorted(path.glob(f"*{ending}"))
    elif _GLOB.search(path.name) and not path.exists():
        yield from sorted(path.parent.glob(path.name))
    else:
        yield path


def _expanded(text: str) -> Iterator[str]:
    """Every name that a text with ranges stands for."""
    found = _RANGE.search(text)
    if found is None:
        yield text
        return
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST_FILES:
        raise DataError(
            f"{found[0]} in {text!r} names no files; a range goes up, as in {{000000..000009}}"
        )
    for number in range(first, last + 1):
        name = f"{text[: found.start()]}{number:0{len(found[1])}}"
        yield from (name + rest for rest in _expanded(text[found.end() :]))
