import struct
from fractions import Fraction

import numpy as np
import pytest

from anymal.media.display import fitted, shown_size, upright

ONE = 65536
FRAMES = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)


@pytest.mark.parametrize(
    # Where a step to the right leads, and a step down, on the screen.
    ("right", "down", "rows"),
    [
        ((1, 0), (0, 1), FRAMES),
        ((-1, 0), (0, 1), FRAMES[:, :, ::-1]),
        ((1, 0), (0, -1), FRAMES[:, ::-1]),
        ((-1, 0), (0, -1), FRAMES[:, ::-1, ::-1]),
        ((0, 1), (-1, 0), np.rot90(FRAMES, -1, (1, 2))),
        ((0, -1), (1, 0), np.rot90(FRAMES, 1, (1, 2))),
        ((0, 1), (1, 0), FRAMES.transpose(0, 2, 1, 3)),
        ((0, -1), (-1, 0), np.rot90(FRAMES, 2, (1, 2)).transpose(0, 2, 1, 3)),
    ],
)
def test_the_whole_matrix_is_applied(
    right: tuple[int, int], down: tuple[int, int], rows: np.ndarray
) -> None:
    numbers = (*(ONE * step for step in right), 0, *(ONE * step for step in down), 0, 0, 0, 2**30)
    assert np.array_equal(upright(FRAMES, struct.pack("=9i", *numbers)), rows)


def test_no_matrix_and_an_empty_one_change_nothing() -> None:
    assert upright(FRAMES, None) is FRAMES
    assert np.array_equal(upright(FRAMES, bytes(36)), FRAMES)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (None, (64, 48)),
        (Fraction(1), (64, 48)),
        (Fraction(2), (128, 48)),
        (Fraction(1, 2), (64, 96)),
        (Fraction(16, 15), (68, 48)),
        (Fraction(-1), (64, 48)),
    ],
)
def test_one_side_grows_where_pixels_are_not_square(
    aspect: Fraction | None, size: tuple[int, int]
) -> None:
    assert shown_size((64, 48), aspect) == size


def test_another_shape_is_centred_on_black() -> None:
    white = np.full((40, 20, 3), 255, np.uint8)
    pixels = fitted(white, (20, 40), (40, 40))
    assert pixels.shape == (40, 40, 3)
    assert (pixels[:, 10:30] == 255).all()
    assert not pixels[:, :10].any()
    assert not pixels[:, 30:].any()
