"""JSON of apps: one object a line, objects in objects, a sensor in each row, GoPro's streams."""

import json
from typing import Any

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge
from anymal.media.limits import Limits

AXES = ("x", "y", "z")


def rows(walk: Any) -> list[dict[str, Any]]:
    names = ("t_s", "ax", "ay", "az", "gx", "gy", "gz")
    table = np.vstack([walk.t, walk.a, walk.g]).T.tolist()
    return [dict(zip(names, row, strict=True)) for row in table]


def test_one_object_a_line_is_read(walk: Any, decode: Any) -> None:
    text = "\n".join(json.dumps(row) for row in rows(walk))
    walk.check(decode(text))
    walk.check(decode(text + "\n\n"))
    with pytest.raises(MediaCorrupt, match="broken or truncated in line 150"):
        decode(text[:-9])
    with pytest.raises(MediaTooLarge, match="bytes of JSON"):
        decode(text, limits=Limits(max_json_bytes=100))


def test_objects_in_objects_are_columns(walk: Any, decode: Any) -> None:
    nested = [
        {
            "timestamp": 1_790_000_000_000 + round(1000 * second),
            "accelerometer": dict(zip(AXES, walk.a[:, row].tolist(), strict=True)),
            "gyroscope": dict(zip(AXES, walk.g[:, row].tolist(), strict=True)),
        }
        for row, second in enumerate(walk.t)
    ]
    walk.check(decode(json.dumps(nested)))
    walk.check(decode("\n".join(map(json.dumps, nested))))


def test_rows_that_name_their_sensor_are_joined(walk: Any, decode: Any) -> None:
    def written(sensor: str, values: np.ndarray) -> list[dict[str, str]]:
        return [
            {
                "sensor": sensor,
                "time": str(1_790_000_000_000_000_000 + round(1e9 * second)),
                "seconds_elapsed": str(second),
                **{axis: str(values[place, row]) for place, axis in enumerate(AXES)},
            }
            for row, second in enumerate(walk.t)
        ]

    mixed = [
        {"sensor": "Metadata", "version": "3"},
        *written("Gravity", walk.a * 0.9),
        *written("Gyroscope", walk.g),
        *written("Accelerometer", walk.a * 0.1),
        *written("TotalAcceleration", walk.a),
    ]
    walk.check(decode(json.dumps(mixed)))
    walk.check(decode(json.dumps(written("Gyroscope", walk.g) + written("Accelerometer", walk.a))))


def test_streams_of_a_camera_are_joined(walk: Any, decode: Any) -> None:
    def stream(name: str, units: str, values: np.ndarray) -> dict[str, Any]:
        samples = [
            {"cts": 1000 * second, "value": values[[2, 0, 1], row].tolist()}
            for row, second in enumerate(walk.t)
        ]
        return {"name": name, "units": units, "samples": samples}

    streams = {
        "ACCL": stream("Accelerometer (z,x,y)", "m/s2", walk.a),
        "GYRO": stream("Gyroscope", "rad/s", walk.g),
        "GPS5": {"samples": []},
    }
    walk.check(decode(json.dumps({"1": {"streams": streams}, "frames/second": 25})))
    streams["ACCL"]["samples"][3]["value"] = [1]
    with pytest.raises(MediaCorrupt, match="sample 4 without three values"):
        decode(json.dumps({"1": {"streams": streams}}))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"a": {"a": {"a": {"a": {"x": [1]}}}}}}',
        '[{"sensor": "Gyroscope"}, 3]',
        '[{"sensor": "Gyroscope", "x": "1"}]',
        '{"1": {"streams": {"ACCL": {"samples": 3}}}}',
        '{"1": {"streams": {"ACCL": {}}}}',
        '{"ax": 1}\n[',
        '{"x": "1"}\n{"x": "1"}',
    ],
)
def test_odd_json_is_refused(text: str, decode: Any) -> None:
    with pytest.raises(MediaError, match="walk"):
        decode(text)


def test_a_channel_that_the_first_row_lacks_is_missed_not_lost(decode: Any) -> None:
    rows = [
        {"t_s": n / 50, "ax": 0, "ay": 0, "az": 9.8, "gx": 0, "gy": 0, "gz": 0} for n in range(9)
    ]
    for axis in "xyz":
        del rows[0][f"g{axis}"]
    with pytest.raises(MediaCorrupt, match="no value at row 1, column gx"):
        decode(json.dumps(rows))


def test_many_names_in_many_rows_cost_no_more_than_their_bytes(decode: Any) -> None:
    wide = {f"n{number}": 0 for number in range(50_000)}
    with pytest.raises(MediaTooLarge, match="50,000 columns"):
        decode(json.dumps([wide, *[{}] * 50_000]))
    with pytest.raises(MediaTooLarge, match="50,000 columns"):
        decode(json.dumps(wide))
    spoken = [{"sensor": f"acc {number}", "x": 0, "y": 0, "z": 0} for number in range(5000)]
    with pytest.raises(MediaTooLarge, match="5,000 names of sensors"):
        decode(json.dumps(spoken))
