"""Units of acceleration, rotation and time: their spellings, and what values tell of them.

It converts nothing by a guess: where values look like another unit, that is an error or a log line.
"""

import logging
import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaUnsupported
from anymal.media.limits import Limits

logger = logging.getLogger(__name__)

_STANDARD_GRAVITY = 9.80665
SCALES = {
    "a": {"m/s2": 1.0, "g": _STANDARD_GRAVITY, "mg": _STANDARD_GRAVITY / 1000},
    "g": {"rad/s": 1.0, "deg/s": math.pi / 180.0, "mdeg/s": math.pi / 180_000.0},
}
SI = {"a": "m/s2", "g": "rad/s"}
OPTIONS = {"a": "acceleration_unit", "g": "rotation_unit"}
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SPELLINGS = {
    "m/s2": "m/s2 m/(s2) m/s/s m/sec2 ms-2 ms2 mps2 meters/s2 meters/second2 meter/s2 metre/s2",
    "g": "g gs gforce g-force gravity gravities gn",
    "mg": "mg milli-g millig",
    "rad/s": "rad/s rads rads-1 rad/sec radian/s radians/s radians/sec radians/second radps",
    "deg/s": "deg/s degs degs-1 deg/sec dps d/s degree/s degrees/s degrees/sec degrees/second",
    "mdeg/s": "mdps mdeg/s",
}
_TIMES = {
    "s": "s sec secs second seconds",
    "ms": "ms msec msecs milli millis millisecond milliseconds",
    "us": "us usec usecs micro micros microsecond microseconds",
    "ns": "ns nsec nsecs nano nanos nanosecond nanoseconds",
}
_OF_TIMES = {spelling: unit for unit, text in _TIMES.items() for spelling in text.split()}
_OF_ALL = _OF_TIMES | {
    spelling: unit for unit, text in _SPELLINGS.items() for spelling in text.split()
}
_MARKS = re.compile(r"[\s^*.\u00b7]+")
_SIGNS = str.maketrans(
    {"\u00b2": "2", "\u00b0": "deg", "\u00b5": "u", "\u03bc": "u", "\u207b": "-"}
)

# Gravity as a mean over a second, in units of what it measures in the unit that is looked for.
_NEAR_ONE = (0.7, 1.4)
_SHORTEST_S = 0.5
# Half of the time faster than a skater's spin begins, or faster than such sensors measure.
_MOST_USUAL, _MOST_OFTEN = 10.0, 35.0


class Doubt(NamedTuple):
    """What values look like: what was found in them, and the unit that it fits."""

    found: str
    unit: str


def unit_of(text: str, *, times: bool = False) -> str | None:
    """The usual spelling of a unit, or None where it is none that is known.

    Args:
        text: As it was written, brackets not included.
        times: Whether only units of time are meant.
    """
    plain = _MARKS.sub("", text.translate(_SIGNS).lower())
    return (_OF_TIMES if times else _OF_ALL).get(plain)


def scale_of(name: str, letter: str, declared: str | None, stated: str | None) -> float:
    """The factor to SI, by the unit that was declared, or by the one that the file states.

    Args:
        name: The file's name, for errors.
        letter: The sensor, "a" or "g".
        declared: The unit that the caller declares, if any.
        stated: The unit that the file states, if any.

    Raises:
        MediaUnsupported: The two differ, or one is not known.
    """
    if declared is not None and stated is not None and declared != stated:
        found = f"a declared {OPTIONS[letter]} of {declared!r} and the unit {stated!r} in the file"
        raise MediaUnsupported(name, found, f"one unit; leave {OPTIONS[letter]} out")
    unit = declared or stated or SI[letter]
    if unit not in SCALES[letter]:
        raise MediaUnsupported(name, f"the unknown unit {unit!r}", " or ".join(SCALES[letter]))
    return SCALES[letter][unit]


def check_undeclared(
    name: str, letter: str, values: NDArray[np.float64], rate_hz: float, limits: Limits
) -> None:
    """Refuses values that look like another unit than the one assumed; a log line if so limited.

    Args:
        name: The file's name, for errors.
        letter: The sensor whose unit nobody declared, "a" or "g".
        values: [N, 3], taken to be in m/s2 or rad/s.
        rate_hz: Rows in a second.
        limits: Whether a doubt is an error.

    Raises:
        MediaUnsupported: They do.
    """
    if (doubt := doubt_of(letter, values, rate_hz)) is None:
        return
    found, unit = doubt
    option = OPTIONS[letter]
    told = f"{found}, which looks like the unit {unit}, not {SI[letter]}"
    both = " (check rotation_unit too)" if letter == "a" else ""
    accepted = f"a declared unit: {option} {unit}, or {option} {SI[letter]} if it is that{both}"
    if unit == "mg":
        accepted = "values divided by 1000, with acceleration_unit g"
    if limits.refuses_doubtful_units:
        flag = f"; on the command line: --{option.replace('_', '-')}"
        raise MediaUnsupported(name, told, f"{accepted}{flag}")
    logger.warning("%s: found %s; read as %s. Give %s", name, told, SI[letter], accepted)


def doubt_of(letter: str, values: NDArray[np.float64], rate_hz: float) -> Doubt | None:
    """Tell whether values look like another unit than SI.

    Args:
        letter: The sensor, "a" or "g".
        values: [N, 3], taken to be in m/s2 or rad/s.
        rate_hz: Rows in a second.

    Returns:
        What they look like; None where they may well be SI.
    """
    return _of_acceleration(values, rate_hz) if letter == "a" else _of_rotation(values)


def _of_acceleration(values: NDArray[np.float64], rate_hz: float) -> Doubt | None:
    """What acceleration looks like: its mean over a second is gravity, whatever the motion."""
    if len(values) < _SHORTEST_S * rate_hz or len(values) < 2:
        return None
    num_parts = max(1, round(len(values) / rate_hz))
    starts = np.linspace(0, len(values), num_parts, endpoint=False).astype(int)
    counts = np.diff([*starts, len(values)])[:, None]
    means = np.add.reduceat(values, starts, axis=0) / counts
    gravity = float(np.median(np.linalg.norm(means, axis=1)))
    low, high = _NEAR_ONE
    for size, unit in ((1.0, "g"), (1000.0, "mg")):
        if low * size <= gravity <= high * size:
            return Doubt(f"gravity of {gravity:.3g} in the acceleration", unit)
    return None


def _of_rotation(values: NDArray[np.float64]) -> Doubt | None:
    """What rotation looks like: people do not turn that fast for long."""
    if len(values) < 2:
        return None
    speeds = np.linalg.norm(values, axis=1)
    usual, often = np.percentile(speeds, [50, 99])
    if usual <= _MOST_USUAL and often <= _MOST_OFTEN:
        return None
    fast = f"{usual:.3g} half of the time" if usual > _MOST_USUAL else f"up to {often:.3g}"
    return Doubt(f"rotation of {fast}", "deg/s")
