"""Where the table in a text begins: its preamble, its header, what parts its cells, its units row.

It reads no numbers but to tell rows from words.
"""

import csv
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass

from anymal.errors import MediaTooLarge
from anymal.media.imu.chosen import MOST_COLUMNS
from anymal.media.imu.names import read_name
from anymal.media.imu.stamps import is_stamp
from anymal.media.imu.units import unit_of
from anymal.media.source import shorten

logger = logging.getLogger(__name__)

_DELIMITERS = (",", ";", "\t", None)
# A preamble is a few lines; a table without a header needs no longer search.
_SEARCHED_LINES = 100
# Of a longer line, only so many cells as are accepted are made.
_LONGEST_QUOTED = 100_000
_COMMENTS = ("#", "%", "//", "sep=", "Sep=", "SEP=")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")
_NO_UNIT = ("", "-", "no units", "none", "n/a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a table is and how it is written.

    Attributes:
        header: The names of the columns; None where there are none.
        lines: The lines of the rows.
        delimiter: What parts the cells; None for blanks.
        preamble: The text before the table.
    """

    header: list[str] | None
    lines: list[str]
    delimiter: str | None
    preamble: str


def find_layout(name: str, lines: list[str]) -> Layout:
    """Finds the table in the lines of a text.

    The header is the line that names most channels, before the first row of numbers.

    Args:
        name: The file's name, for errors and the log.
        lines: All lines that are not blank; at least one.

    Returns:
        The layout. The units of a row of units are part of the names; where no line names a
        channel, the header is the first line, or None if that is a row of numbers.

    Raises:
        MediaTooLarge: Too many columns.
    """
    best, place, delimiter = 0, 0, _delimiter_of_row(lines[0])
    for index, line in enumerate(map(_without_mark, lines[:_SEARCHED_LINES])):
        for mark in _DELIMITERS:
            count = _num_channels(cells_of(line, mark))
            if count > best:
                best, place, delimiter = count, index, mark
        if _is_row(line):
            break
    if best == 0:
        return _without_header(name, lines)
    header = cells_of(_without_mark(lines[place]), delimiter)
    _check_width(name, header)
    repeated = lines[place]
    rows = [line for line in lines[place + 1 :] if line != repeated]
    if len(rows) < len(lines) - place - 1:
        logger.info("%s: left out headers that are repeated", name)
    header, rows = _with_units_row(header, rows, delimiter)
    _tell_preamble(name, lines[:place])
    preamble = "\n".join(lines[:place])
    return _with_points(Layout(header=header, lines=rows, delimiter=delimiter, preamble=preamble))


def cells_of(line: str, delimiter: str | None) -> list[str]:
    """The cells of a line; quotes hold delimiters."""
    if delimiter is None:
        return line.split(maxsplit=MOST_COLUMNS)
    if '"' not in line or len(line) > _LONGEST_QUOTED:
        return line.split(delimiter, maxsplit=MOST_COLUMNS)
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, StopIteration):
        return line.split(delimiter, maxsplit=MOST_COLUMNS)


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number; NaN does, and is refused later by its row."""
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return "_" not in cell


def _without_mark(line: str) -> str:
    """A line without the mark of a comment, which is no column."""
    return line.lstrip().lstrip("#%").lstrip() if line.lstrip()[:1] in ("#", "%") else line


def _num_channels(cells: Collection[str]) -> int:
    """How many cells name a channel or an axis."""
    named = (read_name(cell) for cell in cells)
    return sum(found is not None and found.meaning != "time" for found in named)


def _is_value(cell: str) -> bool:
    """Whether a cell is a number, in which a comma may be the point, or a time."""
    cell = cell.strip().strip('"')
    return is_number(cell) or _DECIMAL_COMMA.fullmatch(cell) is not None or is_stamp(cell)


def _is_row(line: str) -> bool:
    """Whether a line is three or more values."""
    delimiter = _delimiter_of_row(line)
    cells = cells_of(line, delimiter)
    return len(cells) > 2 and all(_is_value(cell) for cell in cells)


def _delimiter_of_row(line: str) -> str | None:
    """What parts the values of a line, or the first mark in it."""
    for mark in _DELIMITERS:
        cells = cells_of(line, mark)
        if len(cells) > 1 and all(_is_value(cell) for cell in cells):
            return mark
    return next((mark for mark in _DELIMITERS if mark and mark in line), None)


def _without_header(name: str, lines: list[str]) -> Layout:
    """Rows behind comments; or words in the first line, which then is the header."""
    place = next(
        (index for index, line in enumerate(lines) if not line.lstrip().startswith(_COMMENTS)), 0
    )
    delimiter = _delimiter_of_row(lines[place])
    cells = cells_of(lines[place], delimiter)
    _check_width(name, cells)
    if not all(_is_value(cell) for cell in cells):
        return Layout(header=cells, lines=lines[place + 1 :], delimiter=delimiter, preamble="")
    _tell_preamble(name, lines[:place])
    preamble = "\n".join(lines[:place])
    rows = lines[place:]
    return _with_points(Layout(header=None, lines=rows, delimiter=delimiter, preamble=preamble))


def _check_width(name: str, cells: list[str]) -> None:
    """Refuses more columns than accepted."""
    if len(cells) > MOST_COLUMNS:
        most = f"at most {MOST_COLUMNS} columns"
        raise MediaTooLarge(name, f"more than {MOST_COLUMNS} columns", most)


def _tell_preamble(name: str, lines: list[str]) -> None:
    """Says which lines are not read."""
    if lines:
        logger.info("%s: %d lines before the table, from %r", name, len(lines), shorten(lines[0]))


def _with_units_row(
    header: list[str], rows: list[str], delimiter: str | None
) -> tuple[list[str], list[str]]:
    """The names with the units below them, if the first row is of units."""
    units = [cell.strip().strip('"') for cell in cells_of(rows[0], delimiter)] if rows else []
    known = [unit for unit in units if _unit_in_cell(unit)]
    if not known or not all(_unit_in_cell(unit) or unit.lower() in _NO_UNIT for unit in units):
        return header, rows
    named = [
        f"{column} ({_unit_in_cell(unit)})"
        if _unit_in_cell(unit) and not _states(column)
        else column
        for column, unit in zip(header, [*units, *[""] * len(header)], strict=False)
    ]
    return named, rows[1:]


def _unit_in_cell(cell: str) -> str | None:
    """The unit that a cell is, brackets or not."""
    return unit_of(cell) or unit_of(cell.strip("()[]"))


def _states(column: str) -> bool:
    """Whether a name states a unit itself."""
    named = read_name(column)
    return named is not None and named.unit is not None


def _with_points(layout: Layout) -> Layout:
    """Decimal points for decimal commas, where cells are not parted by commas."""
    if layout.delimiter == ",":
        return layout
    first = [cell for line in layout.lines[:_SEARCHED_LINES] for cell in _cells(line, layout)]
    if not any(_DECIMAL_COMMA.fullmatch(cell) for cell in first):
        return layout
    lines = [line.replace(",", ".") for line in layout.lines]
    return Layout(
        header=layout.header, lines=lines, delimiter=layout.delimiter, preamble=layout.preamble
    )


def _cells(line: str, layout: Layout) -> list[str]:
    """The cells of a line that hold channels or times; all where nothing is named."""
    cells = [cell.strip().strip('"') for cell in cells_of(line, layout.delimiter)]
    if layout.header is None:
        return cells
    return [cell for cell, column in zip(cells, layout.header, strict=False) if read_name(column)]
