"""One motion, made here, for every maker's way of writing it."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source
from encoders.signals import Motion

NUM_ROWS, RATE_HZ, GRAVITY = 150, 50, 9.80665
SINCE_1970_S = 1_790_000_000


class Walk:
    """Three seconds of a phone that swings: m/s2 and rad/s, columns [N], and how to check them."""

    def __init__(self) -> None:
        """Makes the motion."""
        self.t = np.arange(NUM_ROWS) / RATE_HZ
        phase = 2 * np.pi * 1.7 * self.t
        self.a = np.stack([np.sin(phase), 0.5 * np.cos(phase), GRAVITY + 2 * np.sin(2 * phase)])
        self.g = np.stack([np.cos(phase), 0.3 * np.sin(phase), 0.2 * np.sin(3 * phase)])

    def check(self, motion: Motion, num_channels: int = 6) -> None:
        """Compares all rows."""
        assert motion.rate_hz == pytest.approx(RATE_HZ, rel=1e-3)
        assert motion.samples.shape == (NUM_ROWS, 6)
        wanted = np.vstack([self.a, self.g])[:num_channels]
        assert pytest.approx(wanted, abs=2e-3) == motion.samples[:, :num_channels].T
        assert motion.present.sum() == num_channels


@pytest.fixture(scope="session")
def walk() -> Walk:
    return Walk()


@pytest.fixture(scope="session")
def decode() -> Callable[..., Motion]:
    def build(text: str | bytes, name: str = "walk", **options: Any) -> Motion:
        data = text.encode() if isinstance(text, str) else text
        limits = options.pop("limits", Limits())
        return decode_imu(Source(name=name, data=data), limits, **options)

    return build


@pytest.fixture(scope="session")
def lines() -> Callable[..., str]:
    """Rows of cells as text."""

    def build(head: str, *columns: Iterable[Any], mark: str = ",") -> str:
        rows = [mark.join(_cell(value) for value in row) for row in zip(*columns, strict=True)]
        return "\n".join([head, *rows] if head else rows) + "\n"

    return build


def _cell(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float | np.floating) else str(value)
