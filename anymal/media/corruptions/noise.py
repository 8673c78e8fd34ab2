"""Media under noise, or in other colours and other light.

The noise is that of POVID (arXiv 2402.11411, and its released code): a diffusion of 1000 steps, of
which so many are taken at once. It was made for pictures; here, sounds and motion recordings get as
much of it in relation to themselves. Does not choose what to corrupt (see `anymal.media.corrupt`).
"""

from dataclasses import replace

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from encoders.signals import Audio, Image, Motion, Video

NUM_STEPS = 1000
_LEAST_BETA, _MOST_BETA = 1e-5, 5e-3
_STEEPEST = 6.0  # the sigmoid is taken from minus this to this
# The published method adds noise to what CLIP's preprocessor gives.
_MEAN = 255 * np.array([0.48145466, 0.4578275, 0.40821073])
_SPREAD = 255 * np.array([0.26862954, 0.26130258, 0.27577711])
_BRIGHTNESS, _HUE = 0.5, 0.3  # of STIC (arXiv 2405.19716)
_MOST_LEVEL = 255

Floats = NDArray[np.float64]


def kept_and_added(step: int) -> tuple[float, float]:
    """How much of a signal is left after some steps, and how much noise there is.

    Args:
        step: 0 to 999; the variance that step t adds is a sigmoid from 1e-5 to 5e-3.

    Returns:
        Their factors; the sum of their squares is 1.
    """
    places = np.linspace(-_STEEPEST, _STEEPEST, NUM_STEPS)[: step + 1]
    betas = _LEAST_BETA + (_MOST_BETA - _LEAST_BETA) / (1 + np.exp(-places))
    kept = float(np.prod(1 - betas))
    return kept**0.5, (1 - kept) ** 0.5


def noisy_image(signal: Image, step: int, rng: np.random.Generator) -> Image:
    """A picture under noise, relative to the mean and spread of photographs."""
    return Image(pixels=_noisy_pixels(signal.pixels, step, rng))


def noisy_video(signal: Video, step: int, rng: np.random.Generator) -> Video:
    """Every frame, and the sound track, under noise."""
    audio = None if signal.audio is None else noisy_audio(signal.audio, step, rng)
    return replace(signal, frames=_noisy_pixels(signal.frames, step, rng), audio=audio)


def noisy_audio(signal: Audio, step: int, rng: np.random.Generator) -> Audio:
    """A sound under noise, relative to its own root mean square; silence stays."""
    samples = _noisy(signal.samples.astype(np.float64), step, rng)
    return replace(signal, samples=samples.clip(-1, 1).astype(np.float32))


def noisy_motion(signal: Motion, step: int, rng: np.random.Generator) -> Motion:
    """A recording under noise, each channel relative to its own root mean square."""
    samples = _noisy(signal.samples.astype(np.float64), step, rng)
    return replace(signal, samples=samples.astype(np.float32))


def _noisy_pixels(
    pixels: NDArray[np.uint8], step: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    kept, added = kept_and_added(step)
    noise = rng.standard_normal(pixels.shape)
    values = kept * (pixels - _MEAN) + added * _SPREAD * noise + _MEAN
    levels: NDArray[np.uint8] = values.round().clip(0, _MOST_LEVEL).astype(np.uint8)
    return levels


def _noisy(samples: Floats, step: int, rng: np.random.Generator) -> Floats:
    """Samples `[N, ...]`; a channel of zeros stays one."""
    kept, added = kept_and_added(step)
    spread = np.sqrt(np.square(samples).mean(0))
    noisy: Floats = kept * samples + added * spread * rng.standard_normal(samples.shape)
    return noisy


def jitter_image(signal: Image, rng: np.random.Generator) -> Image:
    """A picture in another light and other colours."""
    return Image(pixels=_jittered(signal.pixels, *_light_and_hue(rng)))


def jitter_video(signal: Video, rng: np.random.Generator) -> Video:
    """Every frame in the same other light and colours."""
    change = _light_and_hue(rng)
    return replace(signal, frames=np.stack([_jittered(frame, *change) for frame in signal.frames]))


def _light_and_hue(rng: np.random.Generator) -> tuple[float, int]:
    """A factor of the light, and how far the 256 hues are turned."""
    light = float(rng.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS))
    return light, round(256 * float(rng.uniform(-_HUE, _HUE)))


def _jittered(pixels: NDArray[np.uint8], light: float, hue: int) -> NDArray[np.uint8]:
    brighter = (light * pixels).round().clip(0, _MOST_LEVEL).astype(np.uint8)
    colours = np.array(PIL.Image.fromarray(brighter).convert("HSV"))
    colours[..., 0] += np.uint8(hue % 256)  # a circle
    return np.array(PIL.Image.fromarray(colours, mode="HSV").convert("RGB"))
