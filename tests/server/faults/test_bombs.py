"""Files and bodies that are made to harm: refused in words, in little memory, and forgotten."""

import base64
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from server.app import create_app
from server.settings import Settings
from tests.server.faults import hostile

pytestmark = pytest.mark.faults
MOST_MIB = 300  # of memory beside what was held before, at any moment

IMAGES: dict[str, tuple[Callable[[], bytes], int]] = {
    "png-100000x100000": (lambda: hostile.png(100_000, 100_000), 413),
    "png-of-black": (hostile.flat_png, 413),
    "gif": (hostile.gif, 413),
    "webp": (hostile.webp, 413),
    "tiff": (hostile.tiff, 413),
    "jpeg": (hostile.jpeg, 413),
}
# Pictures whose bombs lie in what their pixels do not need.
HARMLESS = {"png-with-words": hostile.wordy_png, "png-with-profile": hostile.profiled_png}
SOUNDS: dict[str, tuple[Callable[[], bytes], int]] = {
    "flac-of-ten-hours": (lambda: hostile.silent_flac(tells_its_length=True), 413),
    "flac-without-end": (lambda: hostile.silent_flac(tells_its_length=False), 413),
    "ogg-of-ten-hours": (hostile.silent_ogg, 413),
}
RECORDINGS: dict[str, tuple[Callable[[], bytes], int]] = {
    "npz-in-npz": (hostile.nested_npz, 400),
    "zip-bomb": (hostile.zip_bomb, 413),
    "lying-zip": (hostile.lying_zip, 400),
    "parquet-rows": (hostile.long_parquet, 413),
    "npy-nan": (lambda: hostile.array(hostile.rows_with(math.nan)), 400),
    "npy-infinite": (lambda: hostile.array(hostile.rows_with(math.inf)), 400),
    "csv-nan": (lambda: b"t_s,ax,ay,az\n0,1,2,3\n0.02,nan,2,3\n", 400),
}
# Like another case of the same reader, and a second or more to make.
SLOW = {"png-of-black", "png-with-profile", "flac-without-end", "ogg-of-ten-hours"}


def names(cases: dict[str, Any]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in cases]


@pytest.fixture(scope="module")
def _service(tiny: Any, run: Any) -> Iterator[Any]:
    # In this process, whose memory is measured.
    with run(create_app(Settings(decode_workers=0), tiny)) as found:
        yield found


@pytest.fixture
def live(_service: Any) -> Iterator[Any]:
    yield _service
    _service.look_over()


def data_url(data: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"


def refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert 0 < len(error["message"]) < 600


def peak_mib() -> Callable[[], float]:
    """Begins anew; tells by how much memory has grown at most since then, in MiB."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return lambda: 0.0  # another system: only the answer is looked at

    def read(key: str) -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return int(line.split()[1]) / 1024

    before = read("VmRSS")
    return lambda: read("VmHWM") - before


@pytest.mark.parametrize("name", names(IMAGES))
def test_image(live: Any, name: str) -> None:
    make, status = IMAGES[name]
    url = data_url(make())
    peak = peak_mib()
    refused(live.ask([{"type": "image_url", "image_url": {"url": url}}], max_tokens=2), status)
    assert peak() < MOST_MIB


@pytest.mark.parametrize("name", names(HARMLESS))
def test_image_that_hides_a_bomb_in_its_words(live: Any, name: str) -> None:
    url = data_url(HARMLESS[name]())
    peak = peak_mib()
    answer = live.ask([{"type": "image_url", "image_url": {"url": url}}], max_tokens=2)
    assert answer.status_code == 200, answer.text
    assert peak() < MOST_MIB


@pytest.mark.parametrize("name", names(SOUNDS))
def test_sound(live: Any, name: str) -> None:
    make, status = SOUNDS[name]
    url = data_url(make())
    peak = peak_mib()
    refused(live.ask([{"type": "audio_url", "audio_url": {"url": url}}], max_tokens=2), status)
    assert peak() < MOST_MIB


@pytest.mark.parametrize("name", RECORDINGS)
def test_recording(live: Any, name: str) -> None:
    make, status = RECORDINGS[name]
    part = {"type": "input_imu", "input_imu": {"url": data_url(make()), "rate_hz": 50}}
    peak = peak_mib()
    refused(live.ask([part], max_tokens=2), status)
    assert peak() < MOST_MIB


def test_times_of_two_rates(live: Any) -> None:
    """Three megabytes of text that would be two hundred million rows on one grid."""
    times = np.cumsum([0.0001, 0.0001, *[0.0001, 0.249] * 86_400])
    data = b"t_s,ax,ay,az\n" + b"".join(b"%.4f,0,0,0\n" % time for time in times)
    part = {"type": "input_imu", "input_imu": {"url": data_url(data)}}
    peak = peak_mib()
    refused(live.ask([part], max_tokens=2), 413)
    assert peak() < MOST_MIB


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(live: Any, value: float) -> None:
    samples = hostile.rows_with(value).tolist()
    part: Any = {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50}}
    refused(live.ask([part]), 400)
    part["input_imu"] = {"samples": np.zeros((9, 6)).tolist(), "rate_hz": value}
    refused(live.ask([part]), 400)
    for option in ("temperature", "top_p", "presence_penalty"):
        refused(live.ask("hello", **{option: value}), 400)


@pytest.mark.parametrize(
    "options",
    [
        *({"temperature": value} for value in (5e-324, 1e-40, 1e-9)),
        *({"temperature": 1, "top_p": value} for value in (0, 5e-324, 1e-40)),
        *({"temperature": 1, "min_p": value} for value in (5e-324, 1)),
        *({"temperature": value, "repetition_penalty": 1e-40} for value in (0, 1)),
        *({"temperature": value, "repetition_penalty": 0.01} for value in (0, 1e-9, 2)),
        {"temperature": 1e-9, "presence_penalty": -2, "frequency_penalty": 2, "top_p": 1e-40},
    ],
)
def test_extreme_sampling_is_refused_or_answered(live: Any, options: dict[str, float]) -> None:
    answer = live.ask("hello", max_tokens=8, seed=1, **options)
    assert answer.status_code in (200, 400), answer.text


def test_bodies(live: Any) -> None:
    json_type = {"content-type": "application/json"}
    cases = {
        "gzipped": (hostile.gzipped_body(), {**json_type, "content-encoding": "gzip"}),
        "deep": (hostile.deep_body(), json_type),
        "lone surrogate": (rb'{"messages": [{"role": "user", "content": "\ud800"}]}', json_type),
        "surrogate in a name": (rb'{"messages": [], "\ud800": "\ud800"}', json_type),
        "surrogate in a URL": (
            rb'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": '
            rb'{"url": "\ud800:x"}}]}]}',
            json_type,
        ),
        "no text": (b"\xff\xfe\x00", json_type),
        "huge number": (b'{"messages": [], "seed": ' + b"9" * 10_000 + b"}", json_type),
    }
    for name, (data, headers) in cases.items():
        peak = peak_mib()
        answer = httpx.post(
            f"{live.url}/v1/chat/completions", content=data, headers=headers, timeout=60
        )
        expected = 413 if name == "gzipped" else 400
        assert answer.status_code == expected, (name, answer.status_code, answer.text[:300])
        assert answer.json()["error"]["message"]
        assert peak() < MOST_MIB, name
