"""GoPro's telemetry as JSON, as gopro-telemetry writes it: a stream for each sensor.

It only lays out the streams as named columns.
"""

import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from anymal.errors import MediaCorrupt
from anymal.media.imu.columns import Table, table_of_columns
from anymal.media.imu.pairs import Part
from anymal.media.limits import Limits
from anymal.media.source import shorten

logger = logging.getLogger(__name__)

_SENSORS = {"ACCL": "accelerometer", "GYRO": "gyroscope"}
_ORDER = re.compile(r"\(([xyz]), ?([xyz]), ?([xyz])\)")
_USUAL_ORDER = ("z", "x", "y")


def streams_of(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The streams of motion of the first device that has any; none in other JSON.

    Args:
        content: The parsed file.
    """
    for device in content.values():
        streams = device.get("streams") if isinstance(device, Mapping) else None
        if isinstance(streams, Mapping):
            found = {key: streams[key] for key in _SENSORS if isinstance(streams.get(key), Mapping)}
            if found:
                return found
    return {}


def parts_of_streams(
    name: str, streams: Mapping[str, Mapping[str, Any]], limits: Limits
) -> list[Part]:
    """The streams as parts, to be joined.

    Args:
        name: The file's name, for errors and the log.
        streams: From `streams_of`.
        limits: How many rows are accepted.
    """
    return [
        Part(name=_SENSORS[key], read=partial(_table, f"{name}:{key}", _SENSORS[key], body, limits))
        for key, body in streams.items()
    ]


def _table(name: str, sensor: str, stream: Mapping[str, Any], limits: Limits) -> Table:
    """One stream's samples as columns named by sensor, axis and unit."""
    samples = stream.get("samples")
    stated = _ORDER.search(str(stream.get("name", "")))
    order = stated.groups() if stated else _USUAL_ORDER
    if stated is None:
        logger.warning("%s: axes taken to be in the order %s", name, ", ".join(order))
    unit = stream.get("units")
    brackets = f" [{shorten(unit)}]" if isinstance(unit, str) else ""
    columns: dict[str, list[Any]] = {"cts (ms)": []} | {
        f"{sensor} ({axis}){brackets}": [] for axis in order
    }
    for row, sample in enumerate(samples if isinstance(samples, list) else [], start=1):
        values = sample.get("value") if isinstance(sample, Mapping) else None
        if not isinstance(values, list) or len(values) != len(order):
            raise MediaCorrupt(
                name, f"sample {row} without three values", "one value for each axis"
            )
        for column, value in zip(columns.values(), [sample.get("cts"), *values], strict=True):
            column.append(value)
    return table_of_columns(name, columns, limits)
