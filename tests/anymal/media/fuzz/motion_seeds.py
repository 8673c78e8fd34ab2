"""Small whole motion files of all formats and of several makers' dialects, to be damaged."""

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tests.anymal.media.broken import parquet

_NAMES = ("t_s", "ax", "ay", "az", "gx", "gy", "gz")


def recordings() -> list[bytes]:
    """A second of a phone that swings, in every way of writing it."""
    t = np.arange(60) / 50
    a = np.stack([np.sin(9 * t), np.cos(9 * t) / 2, 9.8 + np.sin(18 * t)])
    g = np.stack([np.cos(9 * t), np.sin(9 * t) / 3, np.sin(27 * t) / 5])
    columns = dict(zip(_NAMES, (t, *a, *g), strict=True))
    lists = {name: np.round(column, 4).tolist() for name, column in columns.items()}
    rows = [dict(zip(_NAMES, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    plain = _lines(",".join(_NAMES), t, *a, *g)
    texts = [*_texts(t, a, g), *_objects(t, lists, rows)]
    return [plain.encode(), *(text.encode() for text in texts), *_arrays(columns, plain, rows)]


def _texts(t: np.ndarray, a: np.ndarray, g: np.ndarray) -> list[str]:
    clock = [f"2026-09-21 12:00:{second:06.3f}" for second in t]
    epoch = [round((1_790_000_000 + second) * 1e9) for second in t]
    millis = [1_790_000_000_000 + round(1000 * second) for second in t]
    dotted = _lines("time;accX;accY;accZ", t, *a, mark=";")
    counts = [["1790000000.0"] * 3, ["50.0"] * 3, *np.round(64 * a / 9.8).astype(int).T.tolist()]
    header = "PacketCounter,SampleTimeFine,Acc_X,Acc_Y,Acc_Z,Gyr_X,Gyr_Y,Gyr_Z"
    fine = [1000 + round(1e6 * second) for second in t]
    return [
        _lines("", *a, *g),
        _lines("", t, *a, *g, mark="\t"),
        _lines("", clock, *a),
        dotted,
        dotted.replace(".", ","),
        _lines("#timestamp [ns],w_x [rad/s],w_y [rad/s],w_z [rad/s]", epoch, *g),
        _lines(
            "Time (ms),Acceleration x (g),Acceleration y (g),Acceleration z (g)", millis, *a / 9.8
        ),
        "made by hand\nin a hurry\n" + _lines("date,x,y,z\n,g,g,g", clock, *a / 9.8),
        "sep=;\nDeviceTag: 7\n" + _lines(header, range(len(t)), fine, *a, *np.degrees(g)),
        "\n".join(", ".join(map(str, row)) for row in counts),
        _lines('"t (s)","note, x","x-axis (g)","y-axis (g)","z-axis (g)"', t, a[0], *a / 9.8),
        _lines("timestamp x y z", np.repeat(t[::3], 3), *a, mark=" "),
    ]


def _lines(head: str, *columns: Iterable[Any], mark: str = ",") -> str:
    rows = [mark.join(_cell(value) for value in row) for row in zip(*columns, strict=True)]
    return "\n".join([head, *rows] if head else rows) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _objects(t: np.ndarray, lists: dict[str, list[float]], rows: list[Any]) -> list[str]:
    samples = [list(row.values())[1:] for row in rows]
    spoken = [
        {"sensor": sensor, "time": row["t_s"], **{f"{axis}": row[f"{key}{axis}"] for axis in "xyz"}}
        for row in rows
        for sensor, key in (("Accelerometer", "a"), ("Gyroscope", "g"))
    ]
    nested = [
        {
            "t_s": row["t_s"],
            "accelerometer": {axis: row[f"a{axis}"] for axis in "xyz"},
            "gyroscope": {axis: row[f"g{axis}"] for axis in "xyz"},
        }
        for row in rows
    ]
    streams = {
        key: {
            "samples": [
                {"value": [row[f"{letter}{axis}"] for axis in "zxy"], "cts": 1000 * row["t_s"]}
                for row in rows
            ],
            "name": f"{name} (z,x,y)",
            "units": unit,
        }
        for key, letter, name, unit in (
            ("ACCL", "a", "Accelerometer", "m/s2"),
            ("GYRO", "g", "Gyroscope", "rad/s"),
        )
    }
    return [
        *(json.dumps(each) for each in (lists, rows, nested, spoken)),
        "\n".join(json.dumps(row) for row in rows),
        json.dumps({"samples": samples, "rate_hz": 50}),
        json.dumps({"samples": lists, "rate_hz": 50}),
        json.dumps({"1": {"device name": "camera", "streams": streams}}),
    ]


def _arrays(columns: dict[str, np.ndarray], plain: str, rows: list[Any]) -> list[bytes]:
    samples = np.stack(list(columns.values())[1:], axis=1)
    named = np.zeros(len(samples), [(name, "<f4") for name in columns])
    for name, column in columns.items():
        named[name] = column
    table = plain.splitlines()
    sensors = {
        f"{name}.csv": "\n".join(
            ",".join([line.split(",")[0], *line.split(",")[first : first + 3]]) for line in table
        )
        for name, first in (("Accelerometer", 1), ("Gyroscope", 4))
    }
    return [
        *(
            _array(samples),
            _array(named),
            _array(samples.astype(">i2")),
            _array(np.asfortranarray(samples[:, :3])),
        ),
        _archive(np.savez, samples=samples.astype("f4"), rate_hz=np.array(50)),
        _archive(np.savez_compressed, **columns),
        parquet(columns),
        parquet(
            {
                **columns,
                "t_s": np.datetime64("2026-09-21") + (1e9 * columns["t_s"]).astype("m8[ns]"),
            }
        ),
        _zip(zipfile.ZIP_STORED, **sensors),
        _zip(zipfile.ZIP_DEFLATED, **sensors, **{"meta.json": json.dumps(rows[:3])}),
    ]


def _array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _archive(write: Callable[..., None], **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    write(file, **arrays)
    return file.getvalue()


def _zip(method: int, **files: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()
