import math
from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.media.corrupt import CORRUPTIONS, Corruption, Named
from anymal.media.corruptions.less import GREY, MOST_KEPT
from anymal.media.corruptions.noise import kept_and_added
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


KINDS = {type(signal): modality for modality, signal in SIGNALS.items()}
PAIRS = [(name, KINDS[kind]) for name, known in CORRUPTIONS.items() for kind in known]
NOT_PAIRS = [(n, m) for n in CORRUPTIONS for m in SIGNALS if (n, m) not in PAIRS]


def corrupted(name: str, modality: str, *, seed: str = "a", digest: str = "d") -> Any:
    return Corruption(name=name, seed=seed)(SIGNALS[modality], digest)


@pytest.mark.parametrize(("name", "modality"), PAIRS)
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
    names = [*CORRUPTIONS, "noise:499"]
    digests = {Corruption(name=n, seed=s).digest("d") for n in names for s in "ab"} | {"d"}
    assert len(digests) == 2 * len(names) + 1


def test_signals_of_other_kinds_are_refused() -> None:
    with pytest.raises(DataError, match=r"no corruption 'crop' for str; known: Image, Video"):
        Corruption(name="crop", seed="a")("heat", "d")


@pytest.mark.parametrize(("name", "modality"), NOT_PAIRS)
def test_a_modality_without_a_corruption_is_refused(name: str, modality: str) -> None:
    with pytest.raises(DataError, match=rf"no corruption '{name}' for \w+; known: "):
        corrupted(name, modality)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fog", "unknown corruption 'fog'; known: crop, blank, noise"),
        ("crop:3", "'crop' takes no number"),
        ("noise:1000", "'noise' is 0 to 999, got 'noise:1000'"),
        ("noise:", "'noise' is 0 to 999"),
        ("shrink:0", "'shrink' is 1 to 4096"),
    ],
)
def test_a_name_says_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Named.of(name)


def test_names_have_the_strengths_of_the_papers() -> None:
    assert Named.of("noise") == Named(kind="noise", strength=500)
    assert Named.of("shrink") == Named(kind="shrink", strength=20)
    assert Named.of("noise:3") == Named(kind="noise", strength=3)
    assert Named.of("absent") == Named(kind="absent")


def test_noise_follows_the_published_schedule() -> None:
    kept = 1.0
    for step in range(501):
        place = -6 + 12 * step / 999
        kept *= 1 - (1 / (1 + math.exp(-place)) * (5e-3 - 1e-5) + 1e-5)
    assert kept_and_added(500) == pytest.approx((math.sqrt(kept), math.sqrt(1 - kept)), abs=1e-12)
    assert kept_and_added(0)[0] == pytest.approx(1, abs=2e-5)


def test_noise_is_as_strong_as_its_step_says() -> None:
    kept, added = kept_and_added(500)
    grey = Image(pixels=np.full((200, 200, 3), 120, np.uint8))
    noisy = Corruption(name="noise", seed="a")(grey, "d").pixels.astype(float)
    spread = 255 * np.array([0.26862954, 0.26130258, 0.27577711])
    assert noisy.std((0, 1)) == pytest.approx(added * spread, rel=0.02)
    sound = Audio(samples=np.full(40_000, 0.1, np.float32), rate_hz=16_000)
    heard = Corruption(name="noise", seed="a")(sound, "d").samples
    assert heard.mean() == pytest.approx(kept * 0.1, rel=0.02)
    assert heard.std() == pytest.approx(added * 0.1, rel=0.02)
    faint = corrupted("noise:0", "image")
    assert np.abs(values(faint).astype(int) - values(SIGNALS["image"])).max() <= 2


def test_noise_leaves_silence_and_missing_channels() -> None:
    present = np.array([1, 1, 1, 0, 0, 0], bool)
    motion = Motion(samples=SIGNALS["imu"].samples * present, rate_hz=50, present=present)
    noisy = Corruption(name="noise", seed="a")(motion, "d")
    assert not values(noisy)[:, 3:].any()
    assert values(noisy)[:, :3].any()


def test_shrunk_pictures_have_few_pixels_and_their_shape() -> None:
    assert values(corrupted("shrink", "image")).shape == (30, 20, 3)
    assert values(corrupted("shrink:10", "video")).shape == (5, 15, 10, 3)
    assert values(corrupted("shrink:400", "image")).shape == (60, 40, 3)  # never enlarged


def test_jitter_changes_light_and_colours_of_all_frames_alike() -> None:
    red = np.zeros((4, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    video = Video(frames=red, times_s=np.arange(4, dtype=np.float64), duration_s=4.0)
    seen = [values(Corruption(name="jitter", seed=str(seed))(video, "d")) for seed in range(40)]
    assert all((frames == frames[0]).all() for frames in seen)
    brightest = [int(frames.max()) for frames in seen]
    assert 98 <= min(brightest) < 140  # half as bright at least
    assert max(brightest) == 255
    assert any(frames[0, 0, 0].argmax() != 0 for frames in seen)  # some are no longer red


def test_shuffled_media_have_the_same_moments_in_another_order() -> None:
    for modality in ("video", "audio", "imu"):
        before, after = values(SIGNALS[modality]), values(corrupted("shuffle", modality))
        assert after.shape == before.shape
        np.testing.assert_array_equal(np.sort(after, 0), np.sort(before, 0))
    for seed in "abcdefgh":  # of two frames, there is one other order
        frames = SIGNALS["video"].frames[:2]
        pair = Video(frames=frames, times_s=np.arange(2, dtype=np.float64), duration_s=2.0)
        other = Corruption(name="shuffle", seed=seed)(pair, "d")
        np.testing.assert_array_equal(values(other), frames[::-1])


def test_dropped_frames_leave_the_others_at_their_times() -> None:
    whole, left = SIGNALS["video"], corrupted("drop", "video")
    assert len(left.frames) == 2
    for frame, time in zip(left.frames, left.times_s, strict=True):
        np.testing.assert_array_equal(frame, whole.frames[whole.times_s == time][0])


@pytest.mark.parametrize("modality", ["audio", "imu"])
def test_a_cut_takes_half_of_the_time_out(modality: str) -> None:
    whole, left = values(SIGNALS[modality]), values(corrupted("cut", modality))
    assert len(left) == len(whole) - len(whole) // 2
    start = next(
        n
        for n, same in enumerate((left == whole[: len(left)]).reshape(len(left), -1).all(1))
        if not same
    )
    np.testing.assert_array_equal(left[start:], whole[start + len(whole) // 2 :])


def test_axes_are_swapped_alike_for_acceleration_and_rotation() -> None:
    motion = Motion(
        samples=np.tile(np.arange(1, 7, dtype=np.float32), (3, 1)),
        rate_hz=50,
        present=np.ones(6, bool),
    )
    orders = {
        tuple(Corruption(name="swap_axes", seed=str(seed))(motion, "d").samples[0].tolist())
        for seed in range(40)
    }
    assert len(orders) == 5
    assert all([axis + 3 for axis in order[:3]] == list(order[3:]) for order in orders)
    present = np.array([1, 0, 1, 1, 0, 1], bool)
    flat = Motion(samples=motion.samples * present, rate_hz=50, present=present)
    for seed in "abc":  # refuses itself if a missing channel does not read zero
        assert Corruption(name="swap_axes", seed=seed)(flat, "d").present.sum() == 4
