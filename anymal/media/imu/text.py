"""CSV and JSON recordings to tables.

It decodes text and finds the columns; it does not judge the numbers.
"""

import json

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaEmpty, MediaTooLarge, MediaUnsupported
from anymal.media.imu.columns import (
    ACCEPTED_COLUMNS,
    Table,
    check_rows,
    table_of_columns,
    table_of_rows,
    table_of_samples,
    used_columns,
)
from anymal.media.limits import Limits
from anymal.media.source import Source, reason, shorten

_DELIMITERS = (",", ";", "\t")
_MOST_COLUMNS = 1000


def read_csv(source: Source, limits: Limits) -> Table:
    """Reads text of one row per line, cells parted by commas, semicolons, tabs or blanks.

    Args:
        source: The file; UTF-8, the first line may name the columns.
        limits: How many rows are accepted.

    Returns:
        The table.

    Raises:
        MediaError: Not such text, or a cell that is no number; its row is named.
    """
    # Two rows more than the limit: the header, and the end of the last line.
    check_rows(source.name, max(1, source.data.count(b"\n") - 2), limits)
    lines = [line for line in _text(source).splitlines() if line.strip()]
    if not lines:
        raise MediaEmpty(source.name, "blank lines only", ACCEPTED_COLUMNS)
    delimiter = next((mark for mark in _DELIMITERS if mark in lines[0]), None)
    header = lines[0].split(delimiter, maxsplit=_MOST_COLUMNS)
    if len(header) > _MOST_COLUMNS:
        raise MediaTooLarge(
            source.name, f"more than {_MOST_COLUMNS} columns", f"at most {_MOST_COLUMNS} columns"
        )
    if all(_is_number(cell) for cell in header):
        rows = _cells(source.name, lines, delimiter, list(range(len(header))), header)
        return table_of_rows(source.name, rows, limits)
    columns = [cell.strip().strip('"') for cell in header]
    places = [columns.index(column) for column in used_columns(source.name, columns)]
    check_rows(source.name, len(lines) - 1, limits)
    rows = _cells(source.name, lines[1:], delimiter, places, columns)
    by_name = {columns[place]: rows[:, index] for index, place in enumerate(places)}
    return table_of_columns(source.name, by_name, limits)


def read_json(source: Source, limits: Limits) -> Table:
    """Reads rows, objects by row, columns by name, or `{"samples": rows, "rate_hz": rate}`.

    Args:
        source: The file; UTF-8.
        limits: How many bytes and rows are accepted.

    Returns:
        The table.

    Raises:
        MediaError: Not such JSON.
    """
    if len(source.data) > limits.max_json_bytes:
        most = f"at most {limits.max_json_bytes:,} bytes of JSON; use CSV, NPY or Parquet"
        raise MediaTooLarge(source.name, f"{len(source.data):,} bytes of JSON", most)
    try:
        content = json.loads(_text(source))
    except (ValueError, RecursionError) as error:
        if isinstance(error, MediaCorrupt):
            raise
        found = f"JSON that is broken or truncated ({reason(error)})"
        raise MediaCorrupt(source.name, found, "a complete file") from error
    if not isinstance(content, dict) or "samples" not in content:
        return table_of_samples(source.name, content, limits)
    if unknown := content.keys() - {"samples", "rate_hz"}:
        found = f"the keys {', '.join(map(shorten, sorted(unknown)))} beside samples"
        raise MediaUnsupported(source.name, found, "samples and rate_hz only")
    rate_hz = content.get("rate_hz")
    return table_of_samples(source.name, content["samples"], limits, rate_hz=rate_hz)


def _text(source: Source) -> str:
    """The file as text."""
    try:
        return source.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"text that is not UTF-8 at byte {error.start + 1}"
        raise MediaCorrupt(source.name, found, "UTF-8 text") from error


def _cells(
    name: str, lines: list[str], delimiter: str | None, places: list[int], columns: list[str]
) -> NDArray[np.float64]:
    """The cells at some places of each line, as numbers."""
    width = len(columns)
    # A quoted cell may hold the delimiter, so then the count tells nothing.
    if delimiter is not None:
        for row, line in enumerate(lines, start=1):
            if line.count(delimiter) != width - 1 and '"' not in line:
                found = f"{line.count(delimiter) + 1} cells in row {row}"
                raise MediaCorrupt(name, found, f"{width} cells in every row")
    try:
        return np.loadtxt(
            lines, delimiter=delimiter, usecols=places, comments=None, quotechar='"', ndmin=2
        )
    except (ValueError, IndexError) as error:
        raise _first_bad_cell(name, lines, delimiter, places, columns) from error


def _first_bad_cell(
    name: str, lines: list[str], delimiter: str | None, places: list[int], columns: list[str]
) -> MediaCorrupt:
    """The error that names the cell that is no number."""
    for row, line in enumerate(lines, start=1):
        cells = line.split(delimiter)
        for place in places:
            cell = cells[place].strip().strip('"') if place < len(cells) else ""
            if not _is_number(cell):
                what = f"{shorten(cell)!r}" if cell else "an empty cell"
                found = f"{what} at row {row}, column {shorten(columns[place])}"
                return MediaCorrupt(name, found, "a number in every cell; leave such rows out")
    return MediaCorrupt(name, "cells that are not all numbers", "a number in every cell")


def _is_number(cell: str) -> bool:
    """Whether a cell reads as a number; NaN does, and is refused later by its row."""
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return "_" not in cell
