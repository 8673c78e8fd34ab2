from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.media.corrupt import CORRUPTIONS, GREY, MOST_KEPT, Corruption
from encoders.signals import Audio, Image, Motion, Video

RNG = np.random.default_rng(0)
SOUND = Audio(samples=RNG.uniform(-1, 1, 16_000).astype(np.float32), rate_hz=16_000)
SIGNALS: dict[str, Any] = {
    "image": Image(pixels=RNG.integers(0, 255, (60, 40, 3), dtype=np.uint8)),
    "video": Video(
        frames=RNG.integers(0, 255, (5, 60, 40, 3), dtype=np.uint8),
        times_s=np.arange(5, dtype=np.float64),
        duration_s=5.0,
        audio=SOUND,
    ),
    "audio": SOUND,
    "imu": Motion(
        samples=RNG.normal(size=(400, 6)).astype(np.float32), rate_hz=50, present=np.ones(6, bool)
    ),
}


def values(signal: Any) -> Any:
    for name in ("pixels", "frames", "samples"):
        if hasattr(signal, name):
            return getattr(signal, name)
    raise AssertionError(signal)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("modality", SIGNALS)
def test_a_medium_is_corrupted_the_same_way_every_time(name: str, modality: str) -> None:
    signal = SIGNALS[modality]
    before = values(signal).copy()
    once, again = (Corruption(name=name, seed="a")(signal, "d") for _ in range(2))
    assert type(once) is type(signal)
    np.testing.assert_array_equal(values(once), values(again))
    np.testing.assert_array_equal(values(signal), before)
    assert not np.array_equal(values(once), before)


@pytest.mark.parametrize("modality", SIGNALS)
def test_a_crop_follows_from_the_record_and_the_medium(modality: str) -> None:
    crop = Corruption(name="crop", seed="a")
    others = [
        crop(SIGNALS[modality], "e"),
        Corruption(name="crop", seed="b")(SIGNALS[modality], "d"),
    ]
    for other in others:
        assert not np.array_equal(values(other), values(crop(SIGNALS[modality], "d")))


@pytest.mark.parametrize("modality", SIGNALS)
def test_a_crop_keeps_a_fifth_at_most(modality: str) -> None:
    signal = SIGNALS[modality]
    sizes = [
        values(Corruption(name="crop", seed=str(seed))(signal, "d")).size / values(signal).size
        for seed in range(30)
    ]
    assert max(sizes) <= MOST_KEPT
    assert min(sizes) < MOST_KEPT / 2


def test_blank_media_say_nothing_and_keep_their_size() -> None:
    blank = {name: Corruption(name="blank", seed="a")(each, "d") for name, each in SIGNALS.items()}
    for name, each in blank.items():
        assert values(each).shape == values(SIGNALS[name]).shape
    assert (values(blank["image"]) == GREY).all()
    for name in ("video", "audio", "imu"):
        assert not values(blank[name]).any()
    assert not values(blank["video"].audio).any()  # type: ignore[union-attr]


def test_what_is_short_still_has_something_left() -> None:
    pixel = Image(pixels=np.zeros((1, 1, 3), np.uint8))
    step = Motion(samples=np.ones((3, 6), np.float32), rate_hz=50, present=np.ones(6, bool))
    crop = Corruption(name="crop", seed="a")
    assert values(crop(pixel, "d")).shape == (1, 1, 3)
    assert values(crop(step, "d")).shape == (3, 6)


def test_corrupted_media_are_other_media() -> None:
    digests = {Corruption(name=n, seed=s).digest("d") for n in CORRUPTIONS for s in "ab"} | {"d"}
    assert len(digests) == 5


def test_signals_of_other_kinds_are_refused() -> None:
    with pytest.raises(DataError, match=r"no corruption 'crop' for str; known: Image, Video"):
        Corruption(name="crop", seed="a")("heat", "d")
