"""Vary real recordings as other people, rooms, cameras and pockets would.

Every function returns the recording as it is where no generator is given.

Shapes: N samples over time.
"""

import io

import numpy as np
import soxr
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from anymal.playground.archives import Stretch
from anymal.playground.motions import rotation_matrix

Samples = NDArray[np.float32]

# People wear the phone at another side of the waist, or lie on another side, than those recorded.
_OTHER_SIDE = 0.3
_UPWARDS = np.array([1.0, 0.0, 0.0])  # the sensor's axis that points up while they stand


def vary_photo(photo: Image.Image, rng: np.random.Generator | None) -> Image.Image:
    """A photo of a hand: turned, shifted, cropped, mirrored, lit otherwise."""
    if rng is None:
        return photo
    moved = _move(photo, rng, degrees=14, scale=0.16, shift=0.09)
    if rng.random() < 0.5:
        moved = moved.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tinted = np.asarray(moved, np.float32) * rng.uniform(0.9, 1.1, 3)
    moved = Image.fromarray(np.clip(tinted, 0, 255).astype(np.uint8))
    return _light(moved, rng, spread=0.35)


def vary_product(photo: Image.Image, rng: np.random.Generator | None) -> Image.Image:
    """A product photo: shifted, scaled, mirrored, partly covered, brighter or darker."""
    if rng is None:
        return photo
    moved = _move(photo, rng, degrees=8, scale=0.16, shift=0.09)
    if rng.random() < 0.5:
        moved = _cover(moved, rng)
    if rng.random() < 0.5:
        moved = moved.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _light(moved, rng, spread=0.2)


def _move(
    photo: Image.Image, rng: np.random.Generator, *, degrees: float, scale: float, shift: float
) -> Image.Image:
    """Turn, zoom, stretch and shift about the centre; the ground at the corners is repeated."""
    width, height = photo.size
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    zoom = 1 + rng.uniform(-scale, scale)
    stretch = 1 + rng.uniform(-scale, scale) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn = turn * [[zoom * stretch], [zoom / stretch]]
    centre = np.array([width, height]) / 2
    offset = centre - turn @ (centre + rng.uniform(-shift, shift, 2) * (width, height))
    pad = max(width, height) // 3
    padded = Image.fromarray(np.pad(np.asarray(photo), ((pad, pad), (pad, pad), (0, 0)), "edge"))
    # The transform maps target to source pixels; the source has moved by the padding.
    offset = offset + pad
    coefficients = (*turn[0], offset[0], *turn[1], offset[1])
    return padded.transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )


def _cover(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cover a random rectangle, so that no single detail decides (Zhong et al. 2017)."""
    pixels = np.array(photo)
    height, width = (int(side * rng.uniform(0.15, 0.4)) for side in pixels.shape[:2])
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    pixels[top : top + height, left : left + width] = rng.integers(0, 256)
    return Image.fromarray(pixels)


def _light(photo: Image.Image, rng: np.random.Generator, *, spread: float) -> Image.Image:
    """Brightness, contrast, sometimes a soft focus or sensor noise."""
    photo = ImageEnhance.Brightness(photo).enhance(1 + rng.uniform(-spread, spread))
    photo = ImageEnhance.Contrast(photo).enhance(1 + rng.uniform(-spread, spread))
    if rng.random() < 0.2:
        photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    if rng.random() < 0.3:
        noisy = np.asarray(photo, np.float32) + rng.normal(size=(*photo.size[::-1], 1)) * 6
        photo = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    return photo


def vary_speech(samples: Samples, rate_hz: int, rng: np.random.Generator | None) -> Samples:
    """A spoken word: faster or slower with its pitch, otherwise coloured, louder, in noise."""
    if rng is None:
        return samples
    speed = rng.uniform(0.8, 1.25)
    voice = soxr.resample(samples, rate_hz * speed, rate_hz, quality="MQ")
    if rng.random() < 0.5:
        tilt = rng.uniform(-0.6, 0.6)
        voice = np.append(voice[:1], voice[1:] - tilt * voice[:-1])
    voice = voice / (np.abs(voice).max() + 1e-6) * 10 ** rng.uniform(-1.5, -0.02)
    lead, tail = (np.zeros(int(rng.uniform(0, 0.4) * rate_hz)) for _ in range(2))
    voice = np.concatenate([lead, voice, tail])
    if rng.random() < 0.7:
        hiss = rng.normal(size=len(voice))
        voice = voice + hiss * np.abs(voice).max() * 10 ** rng.uniform(-3.5, -1.3)
    return np.asarray(np.clip(voice, -1, 1), dtype=np.float32)


def vary_motion(stretch: Stretch, num_samples: int, rng: np.random.Generator | None) -> Samples:
    """A window of motion, [N, 6] in g and rad/s: another moment, tempo, pocket and sensor.

    Where no generator is given the stretch is one window already.
    """
    if rng is None:
        return np.asarray(stretch.samples[stretch.start : stretch.end], dtype=np.float32)
    # Some recordings are longer than one window, where the stretch allows it.
    if rng.random() < 0.15:
        longer = int(num_samples * rng.uniform(1, 3))
        num_samples = max(num_samples, min(longer, stretch.end - stretch.start))
    num_read = int(min(num_samples * rng.uniform(0.87, 1.15), len(stretch.samples)))
    slack = 16
    first = max(0, stretch.start - slack)
    last = min(stretch.end + slack, len(stretch.samples)) - num_read
    start = int(rng.integers(first, last + 1)) if last > first else max(0, min(first, last))
    read = stretch.samples[start : start + num_read]
    moments = np.linspace(0, len(read) - 1, num_samples)
    window = np.stack([np.interp(moments, np.arange(len(read)), c) for c in read.T], axis=1)
    axis = rng.normal(size=3)
    turn = rotation_matrix(axis / np.linalg.norm(axis), float(rng.normal() * 0.15))
    if rng.random() < _OTHER_SIDE:
        turn = turn @ rotation_matrix(_UPWARDS, float(rng.uniform(-np.pi, np.pi)))
    window = np.hstack([window[:, :3] @ turn.T, window[:, 3:] @ turn.T]) * rng.uniform(0.93, 1.07)
    noise = rng.random() * np.array([0.02] * 3 + [0.03] * 3)
    return (window + rng.normal(size=window.shape) * noise).astype(np.float32)


def to_npy(samples: Samples) -> bytes:
    """The samples as the bytes of an NPY file."""
    buffer = io.BytesIO()
    np.save(buffer, samples, allow_pickle=False)
    return buffer.getvalue()
