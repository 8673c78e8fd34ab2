"""Whether two pictures show the same."""

import io

import numpy as np
import pytest
from PIL import Image

from anymal.data.audit.likeness import MOST_BITS, _cosines, are_alike, look_of, near


def photo(seed: int, side: int = 96) -> Image.Image:
    """Soft coloured blots, as a photograph out of focus."""
    blots = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize((side, side), Image.Resampling.BICUBIC)


def again(image: Image.Image, scale: float, quality: int) -> Image.Image:
    """Resized and re-encoded."""
    size = (round(image.width * scale), round(image.height * scale))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return Image.open(file)


def alike(one: Image.Image, other: Image.Image) -> bool:
    first, second = look_of(np.asarray(one)), look_of(np.asarray(other))
    assert first is not None
    assert second is not None
    is_near = bool(len(near(first.bits, second.bits[None])))
    return is_near and are_alike(first, second)


def test_the_waves_are_those_of_a_cosine_transform() -> None:
    # By hand: row 0 is constant; row 1 is half a wave, odd around the middle.
    waves = _cosines()
    assert waves.shape == (16, 64)
    assert np.allclose(waves[0], 1)
    assert np.allclose(waves[1], -waves[1][::-1])
    assert np.isclose(waves[1][0], np.cos(np.pi / 128))
    assert np.allclose(waves @ waves.T, np.diag([64, *[32] * 15]))


@pytest.mark.parametrize(("scale", "quality"), [(1, 50), (0.5, 75), (1.5, 70), (0.7, 40)])
def test_a_copy_of_another_size_and_quality_is_alike(scale: float, quality: int) -> None:
    assert all(alike(photo(seed), again(photo(seed), scale, quality)) for seed in range(10))


def test_other_pictures_are_not() -> None:
    looks = [look_of(np.asarray(photo(seed))) for seed in range(60)]
    hashes = np.stack([look.bits for look in looks if look is not None])
    assert [near(bits, hashes).tolist() for bits in hashes] == [[number] for number in range(60)]


def test_a_picture_in_other_colours_is_another() -> None:
    # The hash is of the brightness, so the copies decide.
    grey = photo(0).convert("L").convert("RGB")
    one, other = look_of(np.asarray(photo(0))), look_of(np.asarray(grey))
    assert one is not None
    assert other is not None
    assert len(near(one.bits, other.bits[None])) == 1
    assert not are_alike(one, other)


def test_a_picture_of_nothing_is_not_compared() -> None:
    assert look_of(np.full((20, 20, 3), 7, dtype=np.uint8)) is None


def test_near_counts_bits() -> None:
    bits = np.zeros(32, dtype=np.uint8)
    hashes = np.zeros((2, 32), dtype=np.uint8)
    hashes[0, : MOST_BITS // 8] = 255
    hashes[1, : MOST_BITS // 8 + 1] = 255
    assert near(bits, hashes).tolist() == [0]
