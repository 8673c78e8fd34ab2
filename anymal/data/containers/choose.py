"""Which kind of container a file is, told by what it begins with, or else by its ending.

Does not read rows; the module of each kind does.
"""

import codecs
from importlib import import_module
from pathlib import Path

from anymal.data.containers.raw import Raw
from anymal.errors import DataError

_PROBE_BYTES = 4096
_ROOM = "anymal.data.containers"
_BY_START = {
    b"[": "json_array:JsonArray",
    b"{": "jsonl:Jsonl",
    b"PAR1": "parquet:open_parquet",
    b"ARROW1": "arrow:open_arrow",
}
_BY_ENDING = {
    ".csv": "csv:Csv",
    ".tsv": "csv:Csv",
    ".jsonl": "jsonl:Jsonl",
    ".ndjson": "jsonl:Jsonl",
    ".json": "jsonl:Jsonl",
    ".arrow": "arrow:open_arrow",
}


def open_raw(path: Path) -> Raw:
    """Open a file as raw rows.

    Args:
        path: The file.

    Returns:
        Its rows: at least one.

    Raises:
        DataError: There is no such file, it has no rows, or it is of no kind that is read.
    """
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; name a file of it, or another format")
    if not path.is_file():
        raise DataError(
            f"data file {str(path)!r} does not exist; in a recipe, paths are relative to the recipe"
        )
    with path.open("rb") as file:
        start = file.read(_PROBE_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    if not start:
        raise DataError(f"{str(path)!r} has no rows; write one record per line")
    kinds = [kind for mark, kind in _BY_START.items() if start.startswith(mark)]
    kind = kinds[0] if kinds else _BY_ENDING.get(path.suffix.lower())
    if kind is None:
        raise DataError(
            f"{str(path)!r} is of no kind that is read; it should be a JSON array, or a file "
            f"that ends in {', '.join(_BY_ENDING)}"
        )
    module, _, name = kind.partition(":")
    raw: Raw = getattr(import_module(f"{_ROOM}.{module}"), name)(path)
    if not len(raw):
        raise DataError(f"{str(path)!r} has no rows; write one record per line")
    return raw
