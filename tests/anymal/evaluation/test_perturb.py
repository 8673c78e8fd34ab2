from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.perturb import PERTURBATIONS, Perturbation, change, perturb_part
from anymal.evaluation.signal_part import film_url
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.protocol.conversation import read_conversation
from encoders.signals import Audio, Image, Motion, Signal, Video

RAMP = np.arange(10.0)


def changed(values: Any, how: Perturbation, width: int = 3) -> Any:
    return change(np.asarray(values), how, axes=(0,), width=width, seed=[0])


def decoded(part: dict[str, Any], **hints: int) -> Any:
    conversation = read_conversation({"messages": [{"role": "user", "content": [part]}]})
    (read,) = conversation.messages[0].parts
    row = next(row for row in MODALITIES.values() if read.type in row.part_types)
    medium = read_medium(read, limits=Limits(), base_dir=None)  # type: ignore[arg-type]
    return row.decode(medium, Limits(), **hints)


def test_blur_is_the_mean_of_neighbours() -> None:
    assert changed([0, 0, 9, 0, 0], "blur").tolist() == [0, 3, 3, 3, 0]
    # At an edge its value goes on: (6 + 6 + 0) / 3, and (0 + 3 + 3) / 3.
    assert changed([6, 0, 3], "blur").tolist() == [4, 3, 2]
    assert changed([0, 0, 0, 25, 0, 0, 0], "blur", width=5).tolist() == [0, 5, 5, 5, 5, 5, 0]


def test_crop_takes_a_tenth_off_both_ends() -> None:
    assert changed(RAMP, "crop").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_shift_moves_by_a_tenth_and_the_first_value_goes_on() -> None:
    assert changed(RAMP, "shift").tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert changed(np.arange(20.0), "shift").tolist() == [0, 0, *range(18)]


def test_noise_is_a_quarter_as_strong_as_the_signal_varies() -> None:
    values = np.tile([[2.0, 40.0], [-2.0, -40.0]], (2000, 1))  # deviations of 2 and 40
    noise = changed(values, "noise") - values
    assert noise.std(axis=0) == pytest.approx([0.5, 10.0], rel=0.05)
    assert abs(noise.mean(axis=0)).max() < 0.5
    assert (changed(values, "noise") == changed(values, "noise")).all()
    assert (changed(np.full(9, 4.0), "noise") == 4).all()


def test_picture_is_changed_over_height_and_width() -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[10, 15] = (90, 180, 9)
    shifted = decoded(perturb_part(Image(pixels=pixels), "shift", seed=[0]))
    assert np.argwhere(shifted.pixels[..., 0]).tolist() == [[12, 18]]
    blurred = decoded(perturb_part(Image(pixels=pixels), "blur", seed=[0]))
    assert blurred.pixels[9:12, 14:17].tolist() == [[[10, 20, 1]] * 3] * 3
    assert blurred.pixels.sum() == pixels.sum()
    cropped = decoded(perturb_part(Image(pixels=pixels), "crop", seed=[0]))
    assert cropped.pixels.shape == (16, 24, 3)
    assert cropped.pixels[8, 12].tolist() == [90, 180, 9]


def test_frames_are_changed_alike_and_kept_exactly() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 20, 30, 3), dtype=np.uint8)
    film = Video(frames=frames, times_s=np.arange(4.0), duration_s=4.0)
    shifted = decoded(perturb_part(film, "shift", seed=[0]), num_frames=4)
    assert (shifted.frames[:, 2:, 3:] == frames[:, :-2, :-3]).all()
    assert shifted.duration_s == pytest.approx(4)


def test_film_has_the_same_bytes_each_time() -> None:
    # Answers are found by the digest of what was asked.
    frames = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    assert film_url(frames, Fraction(2)) == film_url(frames, Fraction(2))


def test_sound_is_changed_over_time() -> None:
    samples = (np.arange(100) / 128).astype(np.float32)
    sound = Audio(samples=samples, rate_hz=8000)
    shifted = decoded(perturb_part(sound, "shift", seed=[0]))
    assert shifted.samples[10:] == pytest.approx(samples[:90], abs=1e-4)
    assert len(decoded(perturb_part(sound, "crop", seed=[0])).samples) == 80


def test_missing_gyroscope_stays_missing() -> None:
    present = np.arange(6) < 3
    samples = (np.random.default_rng(0).normal(size=(50, 6)) * present).astype(np.float32)
    motion = Motion(samples=samples, rate_hz=50.0, present=present)
    for how in PERTURBATIONS:
        read = decoded(perturb_part(motion, how, seed=[0]))
        assert (read.present == present).all()
        assert len(read.samples) == (40 if how == "crop" else 50)


def test_unknown_changes_and_signals_are_refused() -> None:
    with pytest.raises(DataError, match="known: blur, crop, noise, shift"):
        perturb_part(Image(pixels=np.zeros((4, 4, 3), dtype=np.uint8)), "melt", seed=[0])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="str cannot be perturbed"):
        perturb_part("smell", "blur", seed=[0])
    assert {kind.__name__ for kind in Signal.__args__} == {"Image", "Video", "Audio", "Motion"}
