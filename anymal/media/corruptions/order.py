"""Media whose time or axes are in disorder, or that have a gap.

Published methods know none of these; a question about what comes when, or about which way something
moves, should lose its answer under them. Does not choose what to corrupt (see
`anymal.media.corrupt`).
"""

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from encoders.signals import Motion, Video

_STRETCHES = 8  # that a recording is cut into to be shuffled
_AXES = 3
_OTHER_AXES = [order for order in permutations(range(_AXES)) if order != tuple(range(_AXES))]


def shuffle_video(signal: Video, rng: np.random.Generator) -> Video:
    """The frames in another order, at the same times; the sound track stays."""
    return replace(signal, frames=signal.frames[_other_order(len(signal.frames), rng)])


def shuffle_samples(signal: Any, rng: np.random.Generator) -> Any:
    """Eight stretches of a sound or a motion recording in another order."""
    stretches = np.array_split(signal.samples, min(_STRETCHES, len(signal.samples)))
    order = _other_order(len(stretches), rng)
    return replace(signal, samples=np.concatenate([stretches[place] for place in order]))


def _other_order(length: int, rng: np.random.Generator) -> list[int]:
    """An order that is not the order there is, if there is one."""
    order: list[int] = rng.permutation(length).tolist()
    if order == sorted(order):
        order = [*order[1:], *order[:1]]
    return order


def drop_video(signal: Video, rng: np.random.Generator) -> Video:
    """Half of the frames, at least one, at their times; the sound track stays."""
    number = len(signal.frames)
    kept = np.sort(rng.choice(number, size=max(1, number // 2), replace=False))
    return replace(signal, frames=signal.frames[kept], times_s=signal.times_s[kept])


def cut_samples(signal: Any, rng: np.random.Generator) -> Any:
    """A sound or a motion recording of half the time: a stretch is cut out, the ends joined."""
    number = len(signal.samples)
    start = int(rng.integers(number - number // 2 + 1))
    gap = slice(start, start + number // 2)
    return replace(signal, samples=np.delete(signal.samples, gap, axis=0))


def swap_axes(signal: Motion, rng: np.random.Generator) -> Motion:
    """The axes of a sensor in another order, the same for acceleration and rotation."""
    order = _OTHER_AXES[int(rng.integers(len(_OTHER_AXES)))]
    channels = [*order, *(_AXES + axis for axis in order)]
    return replace(
        signal, samples=signal.samples[:, channels].copy(), present=signal.present[channels]
    )
