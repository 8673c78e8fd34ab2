"""Sensors in files of their own to one recording, joined by their times.

It chooses files by their names and reads only those.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.imu.archive import member_names, unpacked
from anymal.media.imu.chosen import sensor_of_file
from anymal.media.imu.clock import rate_of_times
from anymal.media.imu.columns import Table
from anymal.media.imu.order import in_order
from anymal.media.limits import Limits
from anymal.media.source import Source, shorten

logger = logging.getLogger(__name__)

_TEXTS = (".csv", ".txt", ".tsv", ".json", ".jsonl", ".ndjson")
_ACCEPTED = "one file of acceleration and one of rotation, such as Accelerometer and Gyroscope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of several files, or what stands for one.

    Attributes:
        name: Its own name, such as Gyroscope.csv.
        read: Makes its table.
    """

    name: str
    read: Callable[[], Table]


class _Timed(NamedTuple):
    """A table's channels as rows [N, C], in order of their times [N]."""

    table: Table
    values: NDArray[np.float64]
    time_s: NDArray[np.float64]


def read_pair(source: Source, limits: Limits, read: Callable[[Source, Limits], Table]) -> Table:
    """Reads the CSV and JSON files of a ZIP, one for each sensor or one for both.

    Args:
        source: The archive.
        limits: How many bytes, unpacked, and how many rows are accepted.
        read: Reads one file.

    Returns:
        The table.

    Raises:
        MediaError: A broken archive, no such files, or files that do not fit together.
    """
    names = [name for name in member_names(source) if name.lower().endswith(_TEXTS)]
    if not names:
        found = "an archive without arrays and without CSV or JSON files"
        raise MediaUnsupported(source.name, found, f"NumPy's NPZ, or {_ACCEPTED}")
    parts = [
        Part(
            name=member,
            read=partial(read, Source(name=f"{source.name}:{member}", data=data), limits),
        )
        for member, data in unpacked(source, names, limits).items()
    ]
    return joined(source.name, parts, limits)


def joined(name: str, parts: Sequence[Part], limits: Limits) -> Table:
    """One table of several parts, each with sensors of its own.

    Args:
        name: What errors call the whole.
        parts: One or more.
        limits: Which gaps are bridged, and how far rows may be out of order.

    Returns:
        The table, at the times of the fastest part, as long as all parts last.

    Raises:
        MediaError: A part that cannot be read, two for one sensor, or times that do not overlap.
    """
    tables = {part.name: part.read() for part in parts} if len(parts) == 1 else _read(name, parts)
    channels = [channel for table in tables.values() for channel in table.channels]
    if len(channels) > len(set(channels)):
        found = f"{' and '.join(map(shorten, tables))}, which hold the same sensor"
        raise MediaUnsupported(name, found, _ACCEPTED)
    if left := [shorten(part.name) for part in parts if part.name not in tables]:
        logger.info("%s: read %s; left out %s", name, ", ".join(tables), ", ".join(left))
    if len(tables) == 1:
        return next(iter(tables.values()))
    return _together(name, list(tables.values()), limits)


def _read(name: str, parts: Sequence[Part]) -> dict[str, Table]:
    """The tables of the parts that hold motion, by the names of the parts or of their columns."""
    sensors = {part.name: sensor_of_file(part.name) for part in parts}
    is_told = all(sensors.values()) or (any(sensors.values()) and len(parts) > 2)
    if is_told:
        chosen = [_best(name, parts, sensors, letter) for letter in ("a", "g")]
        return {part.name: part.read() for part in chosen if part is not None}
    tables = {}
    refused: MediaUnsupported | None = None
    for part in parts:
        try:
            tables[part.name] = part.read()
        except MediaUnsupported as error:
            refused = error
    if not tables:
        raise refused or MediaUnsupported(name, "no files", _ACCEPTED)
    return tables


def _best(
    name: str,
    parts: Sequence[Part],
    sensors: dict[str, tuple[str, int] | None],
    letter: str,
) -> Part | None:
    """The part for one sensor: with gravity before without, calibrated before raw."""
    ranks = {
        part.name: sensor[1]
        for part in parts
        if (sensor := sensors[part.name]) is not None and sensor[0] == letter
    }
    best = [
        part for part in parts if part.name in ranks and ranks[part.name] == min(ranks.values())
    ]
    if len(best) > 1:
        found = f"{' and '.join(shorten(part.name) for part in best)}, which name the same sensor"
        raise MediaUnsupported(name, found, _ACCEPTED)
    return best[0] if best else None


def _together(name: str, tables: list[Table], limits: Limits) -> Table:
    """Tables side by side: by their times, or row by row where none has times."""
    units = {letter: unit for table in tables for letter, unit in table.units.items()}
    if any(table.clock is None for table in tables):
        return _side_by_side(name, tables, units)
    timed = [_timed(name, table, limits) for table in tables]
    begin = max(rows.time_s[0] for rows in timed)
    end = min(rows.time_s[-1] for rows in timed)
    if begin >= end:
        found = "sensors in two files whose times do not overlap"
        raise MediaUnsupported(name, found, "files recorded together, with times of one clock")
    shared = [rows.time_s[(rows.time_s >= begin) & (rows.time_s <= end)] for rows in timed]
    time_s = max(shared, key=len)
    if len(time_s) == 0:
        found = "sensors in two files that share less than one row"
        raise MediaUnsupported(name, found, "files recorded together")
    cut_s = max(rows.time_s[-1] for rows in timed) - min(rows.time_s[0] for rows in timed)
    cut_s -= end - begin
    if cut_s > limits.max_gap_s:
        logger.warning("%s: cut %.3g s in which one of the sensors is silent", name, cut_s)
    channels = {
        channel: np.interp(time_s, rows.time_s, column)
        for rows in timed
        for channel, column in zip(rows.table.channels, rows.values.T, strict=True)
    }
    return Table(channels=channels, clock=lambda: time_s, units=units)


def _timed(name: str, table: Table, limits: Limits) -> _Timed:
    """A table in order of its times, once it has no gaps and nothing that is not finite."""
    time_s = table.time_s
    assert time_s is not None, "only tables with times are joined by them"
    values = np.stack(list(table.channels.values()), axis=1)
    if not (np.isfinite(time_s).all() and np.isfinite(values).all()):
        bad = ~(np.isfinite(time_s) & np.isfinite(values).all(axis=1))
        found = f"NaN, infinity or no value at row {int(np.argmax(bad)) + 1} of {_held(table)}"
        raise MediaCorrupt(name, found, "finite numbers; leave such rows out")
    if len(time_s) < 2:
        raise MediaUnsupported(name, f"one row of {_held(table)}", "two rows of each sensor")
    values, time_s = in_order(name, values, time_s, limits)
    rate_of_times(name, time_s, limits)
    return _Timed(table, values, time_s)


def _held(table: Table) -> str:
    """What a table holds, in words."""
    return "acceleration" if "ax" in table.channels else "rotation"


def _side_by_side(name: str, tables: list[Table], units: dict[str, str]) -> Table:
    """Tables without times, of one rate and one length."""
    lengths = {len(column) for table in tables for column in table.channels.values()}
    rates = {table.rate_hz for table in tables}
    if len(lengths) > 1 or len(rates) > 1 or any(table.clock is not None for table in tables):
        found = "sensors in two files, not both with times, that differ in length or rate"
        raise MediaUnsupported(name, found, "a time column in both files")
    channels = {name: column for table in tables for name, column in table.channels.items()}
    return Table(channels=channels, rate_hz=rates.pop(), units=units)
