"""Rows as one JSON array, or one on each line, written as they come.

Does not know what rows mean.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_array(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    """Write a JSON array, a row on each line."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            file.write(",\n" if number else "[\n")
            file.write(json.dumps(row, ensure_ascii=False))
        file.write("\n]\n")
    return path


def write_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    """Write JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(f"{json.dumps(row, ensure_ascii=False)}\n")
    return path
