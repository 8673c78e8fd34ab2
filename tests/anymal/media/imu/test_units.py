"""Motion in another unit than the one assumed is refused, unless the unit is declared."""

import logging

import numpy as np
import pytest

from anymal.errors import MediaUnsupported
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.playground.motions import KINDS, PhoneMotion, render_motion

GRAVITY = 9.80665


def draw(kind: str, seed: int = 0) -> np.ndarray:
    pace = "slow" if kind == "walking" else ""
    rng = np.random.default_rng(seed)
    return render_motion(PhoneMotion(kind=kind, pace=pace), rng).astype(float)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_acceleration_in_g_is_told(kind: str, seed: int) -> None:
    motion = draw(kind, seed)
    assert decode_imu(motion, Limits(), rate_hz=50)
    motion[:, :3] /= GRAVITY
    match = "looks like the unit g, not m/s2; accepted: a declared unit: acceleration_unit g.*"
    with pytest.raises(MediaUnsupported, match=match + "--acceleration-unit"):
        decode_imu(motion, Limits(), rate_hz=50)
    read = decode_imu(motion, Limits(), rate_hz=50, acceleration_unit="g")
    assert read.samples == pytest.approx(draw(kind, seed), abs=1e-4)


def test_acceleration_in_thousandths_of_g_is_told() -> None:
    motion = draw("still")[:, :3] * (1000 / GRAVITY)
    with pytest.raises(MediaUnsupported, match=r"the unit mg.*divided by 1000"):
        decode_imu(motion, Limits(), rate_hz=50)


@pytest.mark.parametrize("kind", ["walking", "shaking", "turning left", "turning right"])
def test_rotation_in_degrees_is_told(kind: str) -> None:
    motion = draw(kind)
    motion[:, 3:] = np.degrees(motion[:, 3:])
    match = "rotation of .* looks like the unit deg/s, not rad/s.*--rotation-unit"
    with pytest.raises(MediaUnsupported, match=match):
        decode_imu(motion, Limits(), rate_hz=50)
    read = decode_imu(motion, Limits(), rate_hz=50, rotation_unit="deg/s")
    assert read.samples == pytest.approx(draw(kind), abs=1e-4)


def test_a_declared_unit_wins_over_what_values_look_like() -> None:
    motion = np.tile([0, 0, 1.0, 40, 0, 0], (100, 1))
    units = {"acceleration_unit": "m/s2", "rotation_unit": "rad/s"}
    read = decode_imu(motion, Limits(), rate_hz=50, **units)
    assert read.samples[0].tolist() == [0, 0, 1, 40, 0, 0]


def test_a_unit_in_the_names_counts_as_declared() -> None:
    still = {"ax (g)": [0.0] * 99, "ay (g)": [0.0] * 99, "az (g)": [1.0] * 99}
    read = decode_imu(still, Limits(), rate_hz=50)
    assert read.samples[0].tolist() == pytest.approx([0, 0, GRAVITY, 0, 0, 0])
    assert decode_imu(still, Limits(), rate_hz=50, acceleration_unit="g")
    with pytest.raises(MediaUnsupported, match="'m/s2' and the unit 'g' in the file"):
        decode_imu(still, Limits(), rate_hz=50, acceleration_unit="m/s2")


def test_a_doubt_is_a_line_in_the_log_where_limits_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    motion = np.tile([0, 0, 1.0], (100, 1))
    with caplog.at_level(logging.WARNING):
        read = decode_imu(motion, Limits(refuses_doubtful_units=False), rate_hz=50)
    assert read.samples[0, 2] == 1
    assert "looks like the unit g" in caplog.text


def test_motion_without_gravity_and_noise_raise_no_doubt() -> None:
    t = np.arange(500) / 50
    swing = np.stack([np.sin(9 * t), np.cos(9 * t), np.sin(7 * t)], axis=1)
    assert decode_imu(swing, Limits(), rate_hz=50)
    noise = np.random.default_rng(0).normal(size=(500, 6))
    assert decode_imu(noise, Limits(), rate_hz=50)
    assert decode_imu([[0, 0, 1]] * 5, Limits(), rate_hz=50)
