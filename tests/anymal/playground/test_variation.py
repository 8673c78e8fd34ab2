import numpy as np
import pytest

from anymal.playground.archives import Stretch
from anymal.playground.variation import vary_motion

WINDOW = 128


@pytest.mark.parametrize("length", [60, 130, 180, 900])
def test_a_varied_window_is_of_its_stretch(length: int) -> None:
    # Only the stretch accelerates, and turning the sensor does not change how much.
    samples = np.zeros((2000, 6), np.float32)
    samples[1000 : 1000 + length, :3] = 1
    stretch = Stretch(samples=samples, start=1000, end=1000 + length)
    lengths = set()
    for seed in range(300):
        window = vary_motion(stretch, WINDOW, np.random.default_rng(seed))
        lengths.add(len(window))
        # An encoder of one window sees no more than this.
        inside = np.linalg.norm(window[:WINDOW, :3], axis=1) > 0.8
        assert inside.sum() > 0.7 * min(length, WINDOW)
    assert min(lengths) == WINDOW
    assert max(lengths) <= max(WINDOW, length)
