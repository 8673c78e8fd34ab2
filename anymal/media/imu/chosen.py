"""Which columns of a motion recording are read, and in which units, by what their names say.

It reads no values.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from anymal.errors import MediaTooLarge, MediaUnsupported
from anymal.media.imu.names import Named, names_other, read_name, sensor_of, words_of
from anymal.media.imu.units import OPTIONS, SCALES
from encoders.signals import MOTION_CHANNELS

ACCEPTED_COLUMNS = (
    "columns named t_s, ax, ay, az, gx, gy, gz (or as other devices name them: accel_x, Gyroscope "
    "x (deg/s), ...), the time optional where rate_hz is declared; or 3 or 6 columns without names"
)

_GROUPS = (MOTION_CHANNELS[:3], MOTION_CHANNELS[3:])
_AXES = ("x", "y", "z")
# Beside these, x, y and z are a place or a direction.
_POSES = frozenset(
    [
        *("qx", "qy", "qz", "qw", "roll", "pitch", "yaw", "quaternion"),
        *("vx", "vy", "vz", "latitude", "longitude"),
    ]
)
MOST_COLUMNS = 1000
_FEW_NAMES, _LONGEST = 12, 120


def used_columns(name: str, columns: Iterable[object]) -> dict[str, Named]:
    """Tells which columns are read, and as what; others are ignored.

    Args:
        name: The file's name, for errors.
        columns: All names of columns; case and surrounding blanks do not matter.

    Returns:
        For each column that is read, by the name given: what its name says.

    Raises:
        MediaUnsupported: None is known, two mean the same, a unit is not known, or a group of
            three is not whole.
        MediaTooLarge: Too many columns.
    """
    given = [str(column) for column in columns]
    if len(given) > MOST_COLUMNS:
        most = f"at most {MOST_COLUMNS:,} columns"
        raise MediaTooLarge(name, f"{len(given):,} columns", most)
    _refuse_numbered_axes(name, given)
    known = {column: named for column in given if (named := read_name(column)) is not None}
    _name_axes(name, given, known)
    found = f"the columns {_listed(given)}" if given else "no columns"
    used: dict[str, Named] = {}
    for meaning in ("time", *MOTION_CHANNELS):
        rank = _best_rank(meaning, known.values())
        best = [
            column
            for column, named in known.items()
            if named.meaning == meaning and named.rank == rank
        ]
        if meaning == "time":
            # The first whose unit is known, as in `time, seconds_elapsed`.
            best = sorted(best, key=lambda column: known[column].unit is None)[:1]
        if len(best) > 1 or (best and given.count(best[0]) > 1):
            raise MediaUnsupported(name, f"{found}, two of which mean the same", ACCEPTED_COLUMNS)
        used |= {column: known[column] for column in best}
    _check_groups(name, found, {named.meaning for named in used.values()})
    return {column: used[column] for column in given if column in used}


def stated_units(name: str, used: Mapping[str, Named]) -> dict[str, str]:
    """The units of "a" and "g" that names of columns state.

    Args:
        name: The file's name, for errors.
        used: From `used_columns`.

    Raises:
        MediaUnsupported: A unit is not known, or the axes of one sensor have unlike ones.
    """
    units: dict[str, str] = {}
    for column, named in used.items():
        letter = named.meaning[0]
        if letter not in SCALES or not named.stated:
            continue
        if named.unit not in SCALES[letter]:
            found = f"the unit {named.stated[:40]!r} of column {column.strip()[:40]}"
            accepted = f"{', '.join(SCALES[letter])}; or no unit in the name, and {OPTIONS[letter]}"
            raise MediaUnsupported(name, found, accepted)
        if units.setdefault(letter, named.unit) != named.unit:
            found = f"columns in {units[letter]} and in {named.unit}"
            raise MediaUnsupported(name, found, "one unit for all axes of a sensor")
    return units


def sensor_of_file(name: str) -> tuple[str, int] | None:
    """The sensor that a file's name or else its folder's tells, and its rank; see `sensor_of`."""
    stem, folder = _stem_and_folder(name)
    return sensor_of(stem) or (None if names_other(stem) else sensor_of(folder))


def _stem_and_folder(name: str) -> tuple[list[str], list[str]]:
    """The words of a file's name without its ending, and those of its folder."""
    *folders, last = re.split(r"[/\\:]", name)
    return words_of(last.rpartition(".")[0] or last), words_of("".join(folders[-1:]))


def _refuse_numbered_axes(name: str, given: list[str]) -> None:
    """GoPro's exporters call the axes `Accelerometer [m/s2], 1, 2`, in an order of the camera's."""
    stripped = [column.strip() for column in given]
    for place, column in enumerate(stripped[:-2]):
        if stripped[place + 1 : place + 3] == ["1", "2"] and sensor_of(words_of(column[:_LONGEST])):
            stem, bracket, unit = column[:40].partition("[")
            named = ",".join(f"{stem.strip()} ({axis}) {bracket}{unit}".strip() for axis in "zxy")
            raise MediaUnsupported(
                name,
                f"the columns {column[:40]}, 1, 2, which name no axes",
                f"names of axes; most GoPro cameras write z, x, y: {named} (look yours up in the "
                "README of gopro/gpmf-parser)",
            )


def _best_rank(meaning: str, known: Collection[Named]) -> int:
    """The lowest rank at which there are all axes of a channel's sensor, or the lowest there is."""
    axes = next((group for group in _GROUPS if meaning in group), (meaning,))
    ranks = sorted({named.rank for named in known if named.meaning in axes})
    found = {(named.meaning, named.rank) for named in known}
    whole = [rank for rank in ranks if all((axis, rank) in found for axis in axes)]
    return next(iter([*whole, *ranks]), 0)


def _name_axes(name: str, given: list[str], known: dict[str, Named]) -> None:
    """Columns named x, y, z are the sensor that the file's name tells, else acceleration."""
    alone = [column for column, named in known.items() if named.meaning in _AXES]
    if not alone:
        return
    has_channels = len(alone) < sum(named.meaning != "time" for named in known.values())
    is_pose = bool(_POSES & {word for column in given for word in words_of(column[:_LONGEST])})
    is_other = names_other(_stem_and_folder(name)[0])
    sensor = sensor_of_file(name) or ("a", 0)
    for column in alone:
        if has_channels or is_pose or is_other:
            del known[column]
        else:
            known[column] = replace(known[column], meaning=sensor[0] + known[column].meaning)


def _check_groups(name: str, found: str, known: set[str]) -> None:
    """Acceleration and rotation come with all three axes or not at all."""
    for group in _GROUPS:
        missing = [channel for channel in group if channel not in known]
        if 0 < len(missing) < len(group):
            raise MediaUnsupported(name, f"{found}, without {', '.join(missing)}", ACCEPTED_COLUMNS)
    if not known - {"time"}:
        raise MediaUnsupported(name, f"{found}, none of which is known", ACCEPTED_COLUMNS)


def _listed(columns: list[str]) -> str:
    """The first names of a list, each cut to a length that can be read."""
    few = ", ".join(column.strip()[:40] for column in columns[:_FEW_NAMES])
    return few if len(columns) <= _FEW_NAMES else f"{few}, ... ({len(columns)} in all)"
