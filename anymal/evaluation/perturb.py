"""Media changed a little, which should not change an answer: blurred, cut, noisy, shifted.

Does not choose what to change; see `controls.py`. The four changes act on whatever a signal spans:
pictures and frames over height and width, sounds and motion over time.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from anymal.errors import DataError
from anymal.evaluation.signal_part import PARTS
from encoders.signals import Audio, Image, Motion, Video

Perturbation = Literal["blur", "crop", "noise", "shift"]
PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)

_PART = 0.1  # of the length: what a crop takes off each end, and how far a shift goes
_NOISE = 0.25  # of the signal's own standard deviation, about 12 dB below it
_PICTURE_BLUR = 32  # a picture's mean is taken over this part of its side ...
_TIME_BLUR = 5  # ... and a sound's or a sensor's over so many samples

Values = NDArray[np.float64]


def perturb_part(signal: Any, how: Perturbation, *, seed: Sequence[int]) -> dict[str, Any]:
    """A part with a changed medium.

    Args:
        signal: What the record's own medium decodes to.
        how: The change.
        seed: Of the noise.

    Returns:
        A part of the same modality.

    Raises:
        DataError: There is no such change, or none of this kind of signal.
    """
    if how not in PERTURBATIONS:
        raise DataError(f"unknown perturbation '{how}'; known: {', '.join(PERTURBATIONS)}")
    if isinstance(signal, Image):
        changed: Any = Image(pixels=_pixels(signal.pixels, how, seed))
    elif isinstance(signal, Video):
        changed = replace(signal, frames=_pixels(signal.frames, how, seed), audio=None)
    elif isinstance(signal, Audio):
        samples = change(signal.samples, how, axes=(0,), width=_TIME_BLUR, seed=seed)
        changed = replace(signal, samples=samples.clip(-1, 1).astype(np.float32))
    elif isinstance(signal, Motion):
        samples = change(signal.samples, how, axes=(0,), width=_TIME_BLUR, seed=seed)
        samples[:, ~signal.present] = 0
        changed = replace(signal, samples=samples.astype(np.float32))
    else:
        raise DataError(
            f"{type(signal).__name__} cannot be perturbed; leave --perturb out, or this task"
        )
    return PARTS[type(changed)](changed)


def change(
    values: NDArray[Any], how: Perturbation, *, axes: Sequence[int], width: int, seed: Sequence[int]
) -> Values:
    """Change an array over some of its axes.

    Args:
        values: Any numbers.
        how: "blur" takes means over `width` neighbours; "crop" takes a tenth off both ends; "shift"
            moves everything a tenth of the way to higher indices; "noise" adds Gaussian noise, a
            quarter as strong as the values vary over the axes. Beyond an edge, the value at the
            edge goes on.
        axes: Over which.
        width: Of a blur; odd.
        seed: Of the noise.
    """
    changed = np.asarray(values, dtype=np.float64)
    if how == "noise":
        spread = changed.std(axis=tuple(axes), keepdims=True)
        random = np.random.default_rng(list(seed))
        return np.asarray(changed + _NOISE * spread * random.normal(size=changed.shape))
    for axis in axes:
        length = changed.shape[axis]
        moved = round(_PART * length)
        if how == "crop":
            changed = changed.take(range(moved, length - moved), axis=axis)
        elif how == "shift":
            changed = changed.take(np.arange(length).clip(moved) - moved, axis=axis)
        else:
            steps = [np.arange(length) + step - width // 2 for step in range(width)]
            near = [changed.take(step.clip(0, length - 1), axis=axis) for step in steps]
            changed = np.mean(near, axis=0)
    return changed


def _pixels(pixels: NDArray[np.uint8], how: Perturbation, seed: Sequence[int]) -> Any:
    """`[..., H, W, 3]` changed over height and width."""
    height_axis = pixels.ndim - 3
    width = max(3, pixels.shape[height_axis] // _PICTURE_BLUR) | 1
    changed = change(pixels, how, axes=(height_axis, height_axis + 1), width=width, seed=seed)
    return changed.round().clip(0, 255).astype(np.uint8)
