"""Tables as the `datasets` library leaves them: a saved folder, Parquet shards, a name on the Hub.

Finds the files of one split. Does not need that library, and does not interpret columns.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub.errors import HFValidationError

from anymal.data.containers.arrow import open_arrow
from anymal.data.containers.groups import GroupedRows
from anymal.data.containers.parquet import open_parquet
from anymal.data.containers.shards import find_shards
from anymal.errors import DataError
from anymal.recipe.file import HUB_DATA_SET
from anymal.recipe.hub import NotFetched, fetch

_SPLITS, _STATE = "dataset_dict.json", "state.json"
_SHARD = re.compile(r"(.+?)-\d+-of-\d+.*")
# Words for a split in the name of a file, as the library knows them.
_NAMED = re.compile(r"(?<![a-z])(train|dev|val|valid|validation|test|eval)(?:ing|uation)?(?![a-z])")


def open_saved(path: Path, split: str | None) -> GroupedRows:
    """Open the table of one split.

    Args:
        path: A folder of `save_to_disk`; a Parquet or Arrow file; a folder or a pattern of Parquet
            files; or `org/name@revision`.
        split: Its name, perhaps with the folder before it, such as `Art/validation`. None where
            there is only one.

    Raises:
        DataError: There is no such split, or there are several and none was named.
    """
    if not path.exists() and HUB_DATA_SET.fullmatch(path.as_posix()):
        path = _fetched(path.as_posix(), split)
    if (path / _SPLITS).is_file():
        path /= _choose(_read(path / _SPLITS, "splits"), split, path)
        split = None
    if path.is_dir() and not (path / _STATE).is_file():
        return open_parquet(*_shards_of(path, split))
    if split is not None:
        raise DataError(f"{str(path)!r} is one table without splits; leave split out")
    if path.is_dir():
        names = [entry["filename"] for entry in _read(path / _STATE, "_data_files")]
        return open_arrow(*(path / name for name in names))
    if path.suffix == ".arrow":
        return open_arrow(*find_shards(path, ".arrow"))
    return open_parquet(*find_shards(path, ".parquet"))


def _fetched(reference: str, split: str | None) -> Path:
    """The folder with the Parquet files of one split of a data set of the Hub."""
    name, _, revision = reference.partition("@")
    pattern = f"*{PurePosixPath(split or '').name}*.parquet"
    try:
        return fetch(name, kind="dataset", revision=revision, allow_hub=True, patterns=[pattern])
    except (NotFetched, HFValidationError) as error:
        raise DataError(
            f"the data set {name!r} at revision {revision!r} cannot be fetched from the Hub; "
            f"{error}"
        ) from error


def _shards_of(folder: Path, split: str | None) -> list[Path]:
    """The Parquet files of one split, in the order of their names."""
    shards: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        shards.setdefault(_split_of(path.relative_to(folder)), []).append(path)
    if not shards:
        raise DataError(f"{str(folder)!r} holds no Parquet file and no saved data set")
    return shards[_choose(shards, split, folder)]


def _split_of(path: Path) -> str:
    """The split of a file: `data/train` of `data/train.parquet` and `data/train-0-of-2.parquet`."""
    found = _SHARD.fullmatch(path.stem) or _NAMED.search(path.stem)
    return (path.parent / found[1] if found else path.parent).as_posix()


def _choose(splits: Iterable[str], wanted: str | None, path: Path) -> str:
    """The split that is wanted, by its name or the end of it."""
    known = list(splits)
    found = [one for one in known if wanted is None or f"/{one}".endswith(f"/{wanted}")]
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"{str(path)!r} has the splits {', '.join(known)}; "
        + ("name one as split" if wanted is None else f"split is {wanted!r}; name one of them")
    )


def _read(path: Path, key: str) -> Any:
    """What a JSON file of `save_to_disk` has under a key."""
    try:
        return json.loads(path.read_bytes())[key]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is not as `save_to_disk` writes it: {error!r}") from error
