"""JSON recordings to tables.

It parses text and sorts out layouts; it does not judge the numbers.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.imu.columns import Table, check_rows, table_of_samples
from anymal.media.imu.gopro import parts_of_streams, streams_of
from anymal.media.imu.pairs import Part, joined
from anymal.media.imu.text import lines_of, text_of
from anymal.media.limits import Limits
from anymal.media.source import Source, reason, shorten

_DEEPEST = 4
_MOST_SENSORS = 64
# Lists that JSON may hold; each takes 100 bytes in memory, and an object as much as three.
_MOST_LISTS = 2_500_000


def read_json(source: Source, limits: Limits) -> Table:
    """Reads rows, objects by row or by line, columns by name, or `{"samples": rows, ...}`.

    Objects inside objects are columns with dotted names. Rows that name their `sensor` are as many
    recordings, joined by their times; so are the streams of GoPro's telemetry.

    Args:
        source: The file; UTF-8.
        limits: How many bytes and rows are accepted.

    Returns:
        The table.

    Raises:
        MediaError: Not such JSON.
    """
    _check_size(source, limits)
    content = _parsed(source, limits)
    if isinstance(content, dict) and "samples" in content:
        if unknown := content.keys() - {"samples", "rate_hz"}:
            found = f"the keys {', '.join(map(shorten, sorted(unknown)))} beside samples"
            raise MediaUnsupported(source.name, found, "samples and rate_hz only")
        rate_hz = content.get("rate_hz")
        return table_of_samples(source.name, content["samples"], limits, rate_hz=rate_hz)
    if isinstance(content, dict) and (streams := streams_of(content)):
        return joined(source.name, parts_of_streams(source.name, streams, limits), limits)
    if isinstance(content, dict):
        return table_of_samples(source.name, _flat(content), limits)
    if isinstance(content, list) and content and isinstance(content[0], dict):
        check_rows(source.name, len(content), limits)
        rows = [_flat(row) if isinstance(row, dict) else row for row in content]
        if isinstance(rows[0], dict) and isinstance(rows[0].get("sensor"), str):
            return _by_sensor(source.name, rows, limits)
        return table_of_samples(source.name, rows, limits)
    return table_of_samples(source.name, content, limits)


def _check_size(source: Source, limits: Limits) -> None:
    """Refuses JSON that would take too much memory once parsed."""
    if len(source.data) > limits.max_json_bytes:
        most = f"at most {limits.max_json_bytes:,} bytes of JSON; use CSV, NPY or Parquet"
        raise MediaTooLarge(source.name, f"{len(source.data):,} bytes of JSON", most)
    num_lists = source.data.count(b"[") + 3 * source.data.count(b"{")
    if num_lists > _MOST_LISTS:
        found = f"JSON that takes the memory of {num_lists:,} lists"
        raise MediaTooLarge(source.name, found, f"at most {_MOST_LISTS:,}; use CSV, NPY or Parquet")


def _parsed(source: Source, limits: Limits) -> Any:
    """The content; that of many lines is a list."""
    try:
        return json.loads(text_of(source))
    except (ValueError, RecursionError) as error:
        lines = lines_of(source, limits)
        try:
            first = json.loads(lines[0])
        except (ValueError, RecursionError):
            first = None
        if len(lines) > 1 and isinstance(first, dict):
            return _parsed_lines(source.name, lines)
        found = f"JSON that is broken or truncated ({reason(error)})"
        raise MediaCorrupt(source.name, found, "a complete file") from error


def _parsed_lines(name: str, lines: Sequence[str]) -> list[Any]:
    """One object from each line."""
    rows = []
    for row, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            found = f"JSON that is broken or truncated in line {row} ({reason(error)})"
            raise MediaCorrupt(name, found, "one whole object a line") from error
    return rows


def _flat(values: Mapping[str, Any], depth: int = 1) -> dict[str, Any]:
    """Objects inside an object as entries with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and depth < _DEEPEST:
            inner = _flat(value, depth + 1)
            flat |= {f"{key}.{name}": entry for name, entry in inner.items()}
        else:
            flat[key] = value
    return flat


def _by_sensor(name: str, rows: list[Any], limits: Limits) -> Table:
    """Rows that name their sensor, as one recording each."""
    by_sensor: dict[str, list[Any]] = {}
    for row in rows:
        sensor = row.get("sensor") if isinstance(row, dict) else None
        by_sensor.setdefault(str(sensor), []).append(row)
    if len(by_sensor) > _MOST_SENSORS:
        found = f"{len(by_sensor):,} names of sensors"
        raise MediaTooLarge(name, found, f"at most {_MOST_SENSORS} sensors")
    parts = [
        Part(name=sensor, read=partial(table_of_samples, f"{name}:{shorten(sensor)}", rows, limits))
        for sensor, rows in by_sensor.items()
    ]
    return joined(name, parts, limits)
