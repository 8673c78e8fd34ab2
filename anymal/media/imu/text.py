"""CSV recordings to tables.

It decodes text and reads the columns that are used; it does not judge the numbers.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaEmpty, MediaUnsupported
from anymal.media.imu.chosen import ACCEPTED_COLUMNS, used_columns
from anymal.media.imu.columns import Table, check_rows, table_of_columns, table_of_rows
from anymal.media.imu.layout import Layout, cells_of, find_layout, is_number
from anymal.media.imu.names import read_name, units_of_maker
from anymal.media.imu.stamps import is_clock, is_stamp
from anymal.media.limits import Limits
from anymal.media.source import Source, shorten
from encoders.signals import MOTION_CHANNELS

# All at which Python parts lines.
_LINE_ENDS = (
    *(b"\n", b"\r", b"\v", b"\f", b"\x1c", b"\x1d", b"\x1e"),
    *(mark.encode() for mark in ("\u0085", "\u2028", "\u2029")),
)
_EMPATICA_COUNTS = 64.0
_SINCE_2001_S = 1e9


def read_csv(source: Source, limits: Limits) -> Table:
    """Reads text of one row per line, cells parted by commas, semicolons, tabs or blanks.

    Args:
        source: The file; UTF-8. Lines before the header are skipped, as `find_layout` says.
        limits: How many rows are accepted.

    Returns:
        The table.

    Raises:
        MediaError: Not such text, or a cell that is no number; its row is named.
    """
    lines = lines_of(source, limits)
    if not lines:
        raise MediaEmpty(source.name, "blank lines only", ACCEPTED_COLUMNS)
    layout = find_layout(source.name, lines)
    if layout.header is None:
        return _table_without_names(source.name, layout, limits)
    columns = [cell.strip().strip('"') for cell in layout.header]
    used = used_columns(source.name, columns)
    check_rows(source.name, len(layout.lines), limits)
    places = [columns.index(column) for column in used]
    values = _columns(source.name, layout, places, columns)
    by_name = dict(zip(used, values, strict=True))
    makers = units_of_maker(columns, layout.preamble)
    return table_of_columns(source.name, by_name, limits, units=makers)


def lines_of(source: Source, limits: Limits) -> list[str]:
    """The lines that are not blank.

    Args:
        source: The file; UTF-8.
        limits: How many rows are accepted; lines are counted before any is made.

    Raises:
        MediaCorrupt: It is not UTF-8.
        MediaTooLarge: Too many lines.
    """
    num_ends = sum(map(source.data.count, _LINE_ENDS)) - source.data.count(b"\r\n")
    # Two rows more than the limit: the header, and the end of the last line.
    check_rows(source.name, max(1, num_ends - 2), limits)
    return [line for line in text_of(source).splitlines() if line.strip()]


def text_of(source: Source) -> str:
    """The file as text.

    Args:
        source: The file.

    Raises:
        MediaCorrupt: It is not UTF-8.
    """
    try:
        return source.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"text that is not UTF-8 at byte {error.start + 1}"
        raise MediaCorrupt(source.name, found, "UTF-8 text") from error


def _table_without_names(name: str, layout: Layout, limits: Limits) -> Table:
    """Rows of 3 or 6 channels, or of 4 or 7 of which the first is a time."""
    if (table := _empatica(name, layout, limits)) is not None:
        return table
    cells = cells_of(layout.lines[0], layout.delimiter)
    columns = [f"{place + 1}" for place in range(len(cells))]
    values = _columns(name, layout, list(range(len(cells))), columns)
    has_times = values[0].dtype.kind not in "iuf" or is_clock(values[0])
    if len(cells) in (4, 7) and has_times:
        named = dict(zip(("time", *MOTION_CHANNELS), values, strict=False))
        return table_of_columns(name, named, limits)
    if any(column.dtype.kind not in "iuf" for column in values):
        found = f"{len(cells)} columns without names, with dates among them"
        raise MediaUnsupported(name, found, "a date, then 3 or 6 numbers; or names in a header")
    return table_of_rows(name, np.stack(values, axis=1), limits)


def _empatica(name: str, layout: Layout, limits: Limits) -> Table | None:
    """Empatica's wristbands: a row of starts since 1970, a row of rates, then 64 for each g."""
    starts, rates = ([cells_of(line, layout.delimiter) for line in layout.lines[:2]] + [[]])[:2]
    cells = [cell.strip().strip('"') for cell in (*starts, *rates)]
    first = [float(cell) for cell in cells if is_number(cell)]
    if len(layout.lines) < 3 or len(starts) != 3 or len(rates) != 3 or len(first) != 6:
        return None
    if len(set(first)) != 2 or first[0] != first[2] or first[3] != first[5]:
        return None
    if first[0] < _SINCE_2001_S or first[3] >= _SINCE_2001_S:
        return None
    rows = Layout(header=None, lines=layout.lines[2:], delimiter=layout.delimiter, preamble="")
    values = np.stack(_columns(name, rows, [0, 1, 2], ["x", "y", "z"]), axis=1)
    table = table_of_rows(name, values / _EMPATICA_COUNTS, limits, rate_hz=first[3])
    return replace(table, units={"a": "g"})


def _columns(
    name: str, layout: Layout, places: list[int], columns: list[str]
) -> list[NDArray[Any]]:
    """The columns at some places: numbers, and texts where the first row holds a date or such."""
    lines = _whole_rows(name, layout, len(columns))
    # Times that are no numbers are judged later: a declared rate makes them unneeded.
    texts = [
        place
        for place in places
        if (cell := _cell(lines[0], layout.delimiter, place))
        and not is_number(cell)
        and (is_stamp(cell) or _is_time(columns[place]))
    ]
    numbers = [place for place in places if place not in texts]
    values = _numbers(name, lines, layout.delimiter, numbers, columns) if numbers else None
    by_place: dict[int, NDArray[Any]] = {
        place: values[:, index] for index, place in enumerate(numbers) if values is not None
    }
    for place in texts:
        by_place[place] = np.array(
            [_cell(line, layout.delimiter, place) for line in lines], dtype=object
        )
    return [by_place[place] for place in places]


def _is_time(column: str) -> bool:
    """Whether a column is named as a time."""
    named = read_name(column)
    return named is not None and named.meaning == "time"


def _whole_rows(name: str, layout: Layout, width: int) -> list[str]:
    """The lines, each of as many cells as the first has names; an empty one at its end is cut."""
    if layout.delimiter is None:
        return layout.lines
    lines = []
    for row, line in enumerate(layout.lines, start=1):
        # A quoted cell may hold the delimiter, so then the count tells nothing.
        if line.count(layout.delimiter) == width and line.rstrip(" ").endswith(layout.delimiter):
            line = line.rstrip(" ")[:-1]
        if line.count(layout.delimiter) != width - 1 and '"' not in line:
            found = f"{line.count(layout.delimiter) + 1} cells in row {row}"
            raise MediaCorrupt(name, found, f"{width} cells in every row")
        lines.append(line)
    return lines


def _numbers(
    name: str, lines: list[str], delimiter: str | None, places: list[int], columns: list[str]
) -> NDArray[np.float64]:
    """The cells at some places of each line, as numbers."""
    try:
        return np.loadtxt(
            lines, delimiter=delimiter, usecols=places, comments=None, quotechar='"', ndmin=2
        )
    except (ValueError, IndexError) as error:
        raise _first_bad_cell(name, lines, delimiter, places, columns) from error


def _cell(line: str, delimiter: str | None, place: int) -> str:
    """One cell of a line; empty where the line is too short."""
    cells = cells_of(line, delimiter)
    return cells[place].strip().strip('"') if place < len(cells) else ""


def _first_bad_cell(
    name: str, lines: list[str], delimiter: str | None, places: list[int], columns: list[str]
) -> MediaCorrupt:
    """The error that names the cell that is no number."""
    for row, line in enumerate(lines, start=1):
        for place in places:
            cell = _cell(line, delimiter, place)
            if not is_number(cell):
                what = f"{shorten(cell)!r}" if cell else "an empty cell"
                found = f"{what} at row {row}, column {shorten(columns[place])}"
                return MediaCorrupt(name, found, "a number in every cell; leave such rows out")
    return MediaCorrupt(name, "cells that are not all numbers", "a number in every cell")
