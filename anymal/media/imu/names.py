"""What the name of a column or a file says: a time, a channel or a sensor, and a unit.

One rule for all makers. It reads no values.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from anymal.media.imu.units import SECONDS, unit_of

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_BRACKETS = re.compile(r"[(\[]((?:[^()\[\]]|\([^()]*\))*)[)\]]")
# Physics Toolbox: gFx is acceleration in units of g.
_G_FORCE = re.compile(r"\bg ?f(?:orce)? ?([xyz])\b")
_GLUED = re.compile(r"([a-z]+)([xyz])")
_LONGEST = 120

_SHORT = {"a": "a", "g": "g", "w": "g"}
_ACCELERATION = frozenset(
    ["acc", "accl", "accel", "accelerometer", "acceleration", "accelerations", "linacc", "gforce"]
)
_ROTATION = frozenset(["gyr", "gyro", "gyroscope", "omega"])
_TURNING, _RATES = frozenset({"angular", "rotation"}), frozenset({"velocity", "rate", "speed"})
_OTHER_SENSORS = frozenset(
    [
        *("gravity", "mag", "magnetometer", "magnetic", "orientation", "quaternion", "quat"),
        *("euler", "pressure", "barometer"),
    ]
)
# What is computed from a sensor, or comes beside it.
_NO_AXES = frozenset(
    [
        *("mean", "std", "var", "variance", "covariance", "cov", "min", "max", "median", "bias"),
        *("offset", "error", "vector", "matrix", "jerk", "absolute", "abs", "norm", "magnitude"),
        *("temp", "temperature", "fft", "angle"),
    ]
)
# The first that is whole is read: with gravity, as measured, not calibrated, without gravity.
_RANKS = (
    (0, frozenset({"total", "including"})),
    (3, frozenset({"linear", "lin", "linacc", "user", "free"})),
    (2, frozenset({"uncalibrated", "uncal", "raw", "wr"})),
)
_USUAL_RANK = 1
_FRAMES = frozenset({"rs", "s"})  # EuRoC: w_RS_S_x
_AFTER_AXIS = frozenset({"axis", "value", "val", "cal", "raw", "uncal", "uncalibrated"})
_CLOCKS = frozenset(
    ["t", "time", "timestamp", "timestamps", "epoch", "elapsed", "stamp", "datetime", "date", "cts"]
)
_CLOCK_COMPANIONS = frozenset(
    [
        *("sample", "fine", "unix", "cal", "canonical", "sensor", "system", "utc", "local"),
        *("header", "field", "since", "reboot", "logging", "1970", "boot", "relative", "sync"),
        "formatted",
    ]
)
_OTHER_CLOCKS = frozenset(["zone", "exposure", "start", "stop", "end", "duration"])
_RANK_OF_OTHER_CLOCKS = 2
# The names in the files of one maker tell units that those files do not state.
_MAKERS = {frozenset({"packetcounter", "sampletimefine"}): {"a": "m/s2", "g": "deg/s"}}
# Xsens' larger sensors have the same columns in rad/s, below lines that begin so.
_OTHER_PREAMBLE = "//"
_MAKERS_OF_PREAMBLES = {"actigraph": {"a": "g"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a name says.

    Attributes:
        meaning: "time"; a channel such as "ax"; or an axis alone, such as "x".
        unit: The unit that the name states, if any, in its usual spelling.
        stated: What stood for the unit, known or not.
        rank: Which of several columns with one meaning is read: the lowest.
    """

    meaning: str
    unit: str | None = None
    stated: str = ""
    rank: int = _USUAL_RANK


def read_name(column: str) -> Named | None:
    """Tells what a column is, or None where its name says nothing of motion or time.

    Args:
        column: The name; case, quotes and the marks of comments do not matter.
    """
    if len(column) > _LONGEST:
        return None
    groups = [group.strip() for group in _BRACKETS.findall(column)]
    axes = [group.lower() for group in groups if group.lower() in ("x", "y", "z")]
    stated = next((group for group in groups if group.lower() not in ("x", "y", "z")), "")
    words = [*words_of(_BRACKETS.sub(" ", column)), *axes]
    unit = unit_of(stated)
    return _channel(words, unit, stated) or _clock(words, unit)


def sensor_of(words: Iterable[str]) -> tuple[str, int] | None:
    """Tells a sensor from words, as the letter "a" or "g", and its rank.

    Args:
        words: Words of a column's or a file's name, without the axis.
    """
    given = list(words)
    known = frozenset(given)
    if known & _NO_AXES or names_other(given):
        return None
    letters = {"a"} if known & _ACCELERATION and not known & _TURNING else set()
    if known & _ROTATION or (known & _TURNING and known & _RATES):
        letters.add("g")
    if not letters and given and given[0] in _SHORT and known <= {given[0], *_FRAMES}:
        letters.add(_SHORT[given[0]])
    if len(letters) != 1:
        return None
    rank = next((rank for rank, marks in _RANKS if known & marks), _USUAL_RANK)
    return letters.pop(), rank


def names_other(words: Iterable[str]) -> bool:
    """Whether words name a sensor other than the two.

    Args:
        words: Words of a column's or a file's name.
    """
    known = frozenset(words)
    return bool(known & _OTHER_SENSORS) and "including" not in known


def words_of(name: str) -> list[str]:
    """The words of a name, in small letters; also those joined as inCamelCase."""
    spaced = re.sub(r"[^0-9A-Za-z]+", " ", _CAMEL.sub(" ", name)).lower().strip()
    return _G_FORCE.sub(r"gforce \1", spaced).split()


def units_of_maker(columns: Iterable[str], preamble: str = "") -> dict[str, str]:
    """The units of "a" and "g" that a maker's files have, told by what only they hold.

    Args:
        columns: The names of all columns.
        preamble: The text before the header.
    """
    names = {column.strip().strip('"').lower() for column in columns}
    units: dict[str, str] = {}
    for marks, known in _MAKERS.items():
        units |= known if marks <= names and _OTHER_PREAMBLE not in preamble else {}
    for mark, known in _MAKERS_OF_PREAMBLES.items():
        units |= known if mark in preamble.lower() else {}
    return units


def _channel(words: list[str], unit: str | None, stated: str) -> Named | None:
    """An axis of a sensor, or an axis alone."""
    split = _split_axis(words)
    if split is None:
        return None
    before, axis, after = split
    if not set(after) <= _AFTER_AXIS:
        # gyro_x_dps states its unit without brackets.
        stated = "".join(after)
        unit = unit_of(stated)
        if unit is None:
            return None
    if not before or set(before) <= _AFTER_AXIS:
        # A length or a field: a position or a magnetometer, not motion.
        if stated and unit is None:
            return None
        letter = _letter_of_unit(unit)
        return Named(meaning=f"{letter}{axis}", unit=unit, stated=stated)
    sensor = sensor_of([*before, *(word for word in after if word in _AFTER_AXIS)])
    if sensor is None:
        return None
    if "gforce" in before and not stated:
        unit = stated = "g"
    return Named(meaning=f"{sensor[0]}{axis}", unit=unit, stated=stated, rank=sensor[1])


def _split_axis(words: list[str]) -> tuple[list[str], str, list[str]] | None:
    """The words before the axis, the axis, and the words behind it."""
    stems = _ACCELERATION | _ROTATION | _SHORT.keys()
    for place in reversed(range(len(words))):
        if words[place] in ("x", "y", "z"):
            return words[:place], words[place], words[place + 1 :]
        glued = _GLUED.fullmatch(words[place])
        if glued and glued[1] in stems:
            return [*words[:place], glued[1]], glued[2], words[place + 1 :]
    return None


def _letter_of_unit(unit: str | None) -> str:
    """The sensor that a unit belongs to, by its letter."""
    return "" if unit is None else "g" if unit.endswith(("deg/s", "rad/s")) else "a"


def _clock(words: list[str], unit: str | None) -> Named | None:
    """A time; the unit may be one of its words."""
    units = [word for word in words if word not in _CLOCKS and unit_of(word, times=True)]
    others = set(words) - _CLOCKS - set(units)
    if not set(words) & _CLOCKS or others & _OTHER_CLOCKS or len(units) > 1:
        return None
    if "t" in words and len(words) > 1 + len(units):
        return None
    own = unit_of(units[0], times=True) if units else "ms" if words == ["cts"] else None
    rank = _USUAL_RANK if others <= _CLOCK_COMPANIONS else _RANK_OF_OTHER_CLOCKS
    return Named(meaning="time", unit=unit if unit in SECONDS else own, rank=rank)
