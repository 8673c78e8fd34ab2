"""Motion recordings, from files or from memory, to m/s2 and rad/s at a steady rate.

It does not change the rate (`encoders.resample` does), remove gravity or turn axes.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.formats import ACCEPTED_RECORDINGS, RECORDINGS, detect, require
from anymal.media.imu.archive import member_names
from anymal.media.imu.arrays import read_npy, read_npz, read_parquet
from anymal.media.imu.clock import RATES_HZ, steady
from anymal.media.imu.columns import Table, table_of_samples
from anymal.media.imu.json_rows import read_json
from anymal.media.imu.pairs import read_pair
from anymal.media.imu.text import read_csv
from anymal.media.imu.units import SI, check_undeclared, scale_of
from anymal.media.limits import Limits
from anymal.media.source import Source, shorten
from encoders.signals import MOTION_CHANNELS, Motion

logger = logging.getLogger(__name__)

Samples = Sequence[Sequence[float]] | NDArray[Any] | Mapping[str, Any]

# Beyond what motion sensors measure: a wrong unit, raw counts, or a broken file.
_MOST = {"a": 2000.0, "g": 200.0}


def decode_imu(
    given: Source | Samples | Any,
    limits: Limits,
    format: str | None = None,
    rate_hz: float | None = None,
    acceleration_unit: str | None = None,
    rotation_unit: str | None = None,
    *,
    name: str = "samples",
) -> Motion:
    """Decodes a motion recording.

    Columns are found by their names (see docs/media.md); files and rows without names hold 3
    columns of acceleration or 6 with rotation. Where rotation or acceleration is missing, its
    channels read zero and are marked as not present.

    Args:
        given: A file (CSV, JSON, NPY, NPZ, Parquet, or a ZIP of CSV or JSON), rows, a mapping
            from names to columns, or a pandas DataFrame.
        limits: How many rows and seconds are accepted, and which gaps are bridged.
        format: What the caller says the file is, e.g. "csv"; an error where it is another.
        rate_hz: Rows in a second; needed where there is no time column.
        acceleration_unit: "m/s2" or "g". Where neither this nor the file states it, m/s2 is
            assumed, and values that look like another unit are refused.
        rotation_unit: "rad/s" or "deg/s"; likewise.
        name: What errors call data that is not a file.

    Returns:
        The recording at its own rate.

    Raises:
        MediaError: Not a recording, broken, too long, without a rate, with gaps, or with values
            that are not finite, that no sensor measures, or that look like another unit; rows are
            counted from 1, headers not.
    """
    name = given.name if isinstance(given, Source) else name
    # Broken files hold any bit pattern; what overflows here is refused by the checks below.
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(given, Source):
            table = _read(given, limits, format)
        else:
            table = table_of_samples(name, given, limits)
        declared_hz = _agreed_rate(name, rate_hz, table.rate_hz)
        declared = {"a": acceleration_unit, "g": rotation_unit}
        return _motion(name, table, declared_hz, declared, limits)


def _motion(
    name: str,
    table: Table,
    declared_hz: float | None,
    declared: Mapping[str, str | None],
    limits: Limits,
) -> Motion:
    """A table's channels in SI units, checked, at a steady rate."""
    scale = {
        letter: scale_of(name, letter, declared[letter], table.units.get(letter)) for letter in SI
    }
    time_s = _times(name, table, declared_hz)
    # Checked before rows are moved to the grid: errors name the file's own.
    _check_finite(name, table.channels, time_s)
    channels = list(table.channels)
    columns = [table.channels[channel] * scale[channel[0]] for channel in channels]
    values = np.stack(columns, axis=1)
    _check_physical(name, channels, values)
    stored = values
    values, rate_hz = steady(name, values, time_s, declared_hz, limits)
    for letter in SI:
        places = [place for place, channel in enumerate(channels) if channel[0] == letter]
        if places and declared[letter] is None and letter not in table.units:
            check_undeclared(name, letter, stored[:, places], rate_hz, limits)
    samples = np.zeros((len(values), len(MOTION_CHANNELS)))
    places = [MOTION_CHANNELS.index(channel) for channel in channels]
    samples[:, places] = values
    present = np.isin(np.arange(len(MOTION_CHANNELS)), places)
    return Motion(samples=samples.astype(np.float32), rate_hz=rate_hz, present=present)


def _times(name: str, table: Table, declared_hz: float | None) -> NDArray[np.float64] | None:
    """The times of the rows; a declared rate makes times unneeded that cannot be read."""
    try:
        return table.time_s
    except MediaError as error:
        if declared_hz is None:
            raise
        logger.warning("%s; the declared rate of %g Hz is used instead", error, declared_hz)
        return None


def _read(source: Source, limits: Limits, format: str | None) -> Table:
    """A file, if it is what it was declared to be."""
    # What it holds decides whether it is a ZIP of text or an NPZ.
    format = "npz" if format == "zip" else format
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


def _read_zip(source: Source, limits: Limits) -> Table:
    """NumPy's arrays, or files of text."""
    if any(member.endswith(".npy") for member in member_names(source)):
        return read_npz(source, limits)
    return read_pair(source, limits, _read_text)


def _read_text(source: Source, limits: Limits) -> Table:
    """A CSV or JSON file."""
    key = require(source, ("csv", "json"), "CSV or JSON saved as UTF-8")
    return _READERS[key](source, limits)


_READERS = {
    "csv": read_csv,
    "json": read_json,
    "npy": read_npy,
    "npz": _read_zip,
    "parquet": read_parquet,
}


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


def _check_finite(
    name: str,
    channels: Mapping[str, NDArray[np.float64]],
    time_s: NDArray[np.float64] | None,
) -> None:
    """Refuses NaN and infinity, and names the first row."""
    columns = dict(channels)
    if time_s is not None:
        columns = {"time": time_s, **columns}
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
        channel, unit = channels[place], SI[channels[place][0]]
        raise MediaTooLarge(
            name,
            f"{channel} of {values[row, place]:g} {unit} at row {row + 1}",
            f"at most {most[place]:g} {unit}; declare the unit, or scale raw counts",
        )
