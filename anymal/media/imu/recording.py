"""Motion recordings, from files or from memory, to m/s2 and rad/s at a steady rate.

It does not change the rate (`encoders.resample` does), remove gravity or turn axes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.formats import ACCEPTED_RECORDINGS, RECORDINGS, detect, require
from anymal.media.imu.arrays import read_npy, read_npz, read_parquet
from anymal.media.imu.clock import RATES_HZ, steady
from anymal.media.imu.columns import Table, table_of_samples
from anymal.media.imu.text import read_csv, read_json
from anymal.media.limits import Limits
from anymal.media.source import Source, shorten
from encoders.signals import MOTION_CHANNELS, Motion

Samples = Sequence[Sequence[float]] | NDArray[Any] | Mapping[str, Any]

_READERS = {
    "csv": read_csv,
    "json": read_json,
    "npy": read_npy,
    "npz": read_npz,
    "parquet": read_parquet,
}
_STANDARD_GRAVITY = 9.80665
_ACCELERATION_UNITS = {"m/s2": 1.0, "g": _STANDARD_GRAVITY}
_ROTATION_UNITS = {"rad/s": 1.0, "deg/s": math.pi / 180.0}
# Beyond what motion sensors measure: a wrong unit, raw counts, or a broken file.
_MOST = {"a": 2000.0, "g": 200.0}
_UNITS = {"a": "m/s2", "g": "rad/s"}


def decode_imu(
    given: Source | Samples | Any,
    limits: Limits,
    format: str | None = None,
    rate_hz: float | None = None,
    acceleration_unit: str = "m/s2",
    rotation_unit: str = "rad/s",
    *,
    name: str = "samples",
) -> Motion:
    """Decodes a motion recording.

    Columns are found by their names (see docs/media.md); files and rows without names hold 3
    columns of acceleration or 6 with rotation. Where rotation or acceleration is missing, its
    channels read zero and are marked as not present.

    Args:
        given: A file (CSV, JSON, NPY, NPZ or Parquet), rows, a mapping from names to columns, or
            a pandas DataFrame.
        limits: How many rows and seconds are accepted, and which gaps are bridged.
        format: What the caller says the file is, e.g. "csv"; an error where it is another.
        rate_hz: Rows in a second; needed where there is no time column.
        acceleration_unit: "m/s2" or "g".
        rotation_unit: "rad/s" or "deg/s".
        name: What errors call data that is not a file.

    Returns:
        The recording at its own rate.

    Raises:
        MediaError: Not a recording, broken, too long, without a rate, with gaps, or with values
            that are not finite or that no sensor measures; rows are counted from 1, headers not.
    """
    name = given.name if isinstance(given, Source) else name
    # Broken files hold any bit pattern; what overflows here is refused by the checks below.
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(given, Source):
            table = _read(given, limits, format)
        else:
            table = table_of_samples(name, given, limits)
        declared_hz = _agreed_rate(name, rate_hz, table.rate_hz)
        scale = _scale(name, acceleration_unit, rotation_unit)
        return _motion(name, table, declared_hz, scale, limits)


def _motion(
    name: str, table: Table, declared_hz: float | None, scale: dict[str, float], limits: Limits
) -> Motion:
    """A table's channels in SI units, checked, at a steady rate."""
    # Checked before rows are moved to the grid: errors name the file's own.
    _check_finite(name, table)
    channels = list(table.channels)
    columns = [table.channels[channel] * scale[channel[0]] for channel in channels]
    values = np.stack(columns, axis=1)
    _check_physical(name, channels, values)
    values, rate_hz = steady(name, values, table.time_s, declared_hz, limits)
    samples = np.zeros((len(values), len(MOTION_CHANNELS)))
    places = [MOTION_CHANNELS.index(channel) for channel in channels]
    samples[:, places] = values
    present = np.isin(np.arange(len(MOTION_CHANNELS)), places)
    return Motion(samples=samples.astype(np.float32), rate_hz=rate_hz, present=present)


def _read(source: Source, limits: Limits, format: str | None) -> Table:
    """A file, if it is what it was declared to be."""
    if format is not None and format not in RECORDINGS:
        known = ", ".join(RECORDINGS)
        raise MediaUnsupported(source.name, f"the unknown format {format!r}", known)
    key = require(source, RECORDINGS, ACCEPTED_RECORDINGS)
    if format not in (None, key):
        label = detect(source.data).label
        raise MediaUnsupported(
            source.name, f"{label}, declared as {format!r}", "a format that is what it says"
        )
    return _READERS[key](source, limits)


def _scale(name: str, acceleration_unit: str, rotation_unit: str) -> dict[str, float]:
    """Factors to m/s2 and rad/s, by the first letter of the channel."""
    for unit, known in ((acceleration_unit, _ACCELERATION_UNITS), (rotation_unit, _ROTATION_UNITS)):
        if unit not in known:
            raise MediaUnsupported(name, f"the unknown unit {unit!r}", " or ".join(known))
    return {"a": _ACCELERATION_UNITS[acceleration_unit], "g": _ROTATION_UNITS[rotation_unit]}


def _agreed_rate(name: str, declared: float | None, stored: float | None) -> float | None:
    """The declared rate or the file's own; they may not differ."""
    declared, stored = _hertz(name, declared), _hertz(name, stored)
    if declared is not None and stored is not None and declared != stored:
        found = f"a declared rate of {declared:g} Hz and a stored one of {stored:g} Hz"
        raise MediaUnsupported(name, found, "one rate")
    return declared if declared is not None else stored


def _hertz(name: str, rate: object) -> float | None:
    """A rate as a float, if it is one."""
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise MediaUnsupported(name, f"a rate of {shorten(repr(rate))}", "a number of Hz")
    try:
        return float(rate)
    except OverflowError as error:
        accepted = f"{RATES_HZ[0]:g} to {RATES_HZ[1]:g} Hz"
        raise MediaUnsupported(name, "a rate of hundreds of digits", accepted) from error


def _check_finite(name: str, table: Table) -> None:
    """Refuses NaN and infinity, and names the first row."""
    columns = dict(table.channels)
    if table.time_s is not None:
        columns = {"time": table.time_s, **columns}
    bad = ~np.isfinite(np.stack(list(columns.values()), axis=1))
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        column = list(columns)[int(np.argmax(bad[row]))]
        kind = "NaN or no value" if np.isnan(columns[column][row]) else "infinity"
        found = f"{kind} at row {row + 1}, column {column} ({bad.any(axis=1).sum()} such rows)"
        raise MediaCorrupt(name, found, "finite numbers; leave such rows out")


def _check_physical(name: str, channels: list[str], values: NDArray[np.float64]) -> None:
    """Refuses values that no motion sensor measures, and names the first row."""
    most = np.array([_MOST[channel[0]] for channel in channels])
    bad = np.abs(values) > most
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        place = int(np.argmax(bad[row]))
        channel, unit = channels[place], _UNITS[channels[place][0]]
        raise MediaTooLarge(
            name,
            f"{channel} of {values[row, place]:g} {unit} at row {row + 1}",
            f"at most {most[place]:g} {unit}; declare the unit, or scale raw counts",
        )
