"""What can be done to media so that they tell less or something else, and to which.

Of a preference pair, the chosen answer should lose likelihood under it. Does not corrupt anything
itself (see `anymal.media.corruptions`), does not choose what to corrupt, and decodes nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from anymal.errors import DataError
from anymal.media.corruptions import less, noise, order
from encoders.signals import Audio, Image, Motion, Signal, Video

ABSENT = "absent"
"""The conversation without its media; there is no signal to corrupt (see `train.data.pairs`)."""

_Corrupt = Callable[[Any, int, np.random.Generator], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strength:
    """How much of a corruption there is, where it can be said: `noise:300`."""

    default: int
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One way to corrupt the media of one record, always the same.

    Attributes:
        name: In `CORRUPTIONS`, perhaps with a colon and a number: `noise:300`.
        seed: Of the record; what is left to chance follows from it and from the medium.
    """

    name: str
    seed: str

    def digest(self, digest: str) -> str:
        """SHA-256 that stands for the corrupted medium, by that of the medium."""
        return hashlib.sha256(f"{self.name} {self.seed} {digest}".encode()).hexdigest()

    def __call__(self, signal: Any, digest: str) -> Signal:
        """Corrupt a signal.

        Args:
            signal: What the medium decodes to.
            digest: SHA-256 of the medium.

        Raises:
            DataError: There is no such corruption for signals of this kind.
        """
        how = Named.of(self.name)
        known = CORRUPTIONS[how.kind]
        if type(signal) not in known:
            raise DataError(
                f"no corruption {how.kind!r} for {type(signal).__name__}; "
                f"known: {', '.join(kind.__name__ for kind in known)}"
            )
        rng = np.random.default_rng(int(self.digest(digest)[:16], 16))
        corrupted: Signal = known[type(signal)](signal, how.strength, rng)
        return corrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The name of a corruption, taken apart.

    Attributes:
        kind: In `CORRUPTIONS`, or `ABSENT`.
        strength: How much of it there is; 0 of those that have no more and no less.
    """

    kind: str
    strength: int = 0

    @classmethod
    def of(cls, name: str) -> Self:
        """Read `KIND` or `KIND:NUMBER`.

        Raises:
            ValueError: It is not understood; the message lists what is known.
        """
        kind, colon, number = name.partition(":")
        if kind not in (*CORRUPTIONS, ABSENT):
            raise ValueError(
                f"unknown corruption {kind!r}; known: {', '.join((*CORRUPTIONS, ABSENT))}"
            )
        strength = _STRENGTHS.get(kind)
        if strength is None:
            if colon:
                raise ValueError(f"the corruption {kind!r} takes no number, got {name!r}")
            return cls(kind=kind)
        if not colon:
            return cls(kind=kind, strength=strength.default)
        if not number.isdecimal() or not strength.least <= int(number) <= strength.most:
            raise ValueError(
                f"the number of the corruption {kind!r} is {strength.least} to {strength.most}, "
                f"got {name!r}"
            )
        return cls(kind=kind, strength=int(number))


def blank(signal: Any) -> Any:
    """A signal of the same kind, size and time that says nothing.

    Raises:
        DataError: There is none for signals of this kind.
    """
    return Corruption(name="blank", seed="")(signal, digest="")


def _by_chance(corrupt: Callable[[Any, np.random.Generator], Any]) -> _Corrupt:
    return lambda signal, strength, rng: corrupt(signal, rng)


def _by_strength(corrupt: Callable[[Any, int], Any]) -> _Corrupt:
    return lambda signal, strength, rng: corrupt(signal, strength)


def _always(corrupt: Callable[[Any], Any]) -> _Corrupt:
    return lambda signal, strength, rng: corrupt(signal)


CORRUPTIONS: Mapping[str, Mapping[type, _Corrupt]] = {
    "crop": {
        Image: _by_chance(less.crop_image),
        Video: _by_chance(less.crop_video),
        Audio: _by_chance(less.crop_audio),
        Motion: _by_chance(less.crop_motion),
    },
    "blank": {
        Image: _always(less.blank_image),
        Video: _always(less.blank_video),
        Audio: _always(less.blank_samples),
        Motion: _always(less.blank_samples),
    },
    "noise": {
        Image: noise.noisy_image,
        Video: noise.noisy_video,
        Audio: noise.noisy_audio,
        Motion: noise.noisy_motion,
    },
    "shrink": {Image: _by_strength(less.shrink_image), Video: _by_strength(less.shrink_video)},
    "jitter": {Image: _by_chance(noise.jitter_image), Video: _by_chance(noise.jitter_video)},
    "shuffle": {
        Video: _by_chance(order.shuffle_video),
        Audio: _by_chance(order.shuffle_samples),
        Motion: _by_chance(order.shuffle_samples),
    },
    "drop": {Video: _by_chance(order.drop_video)},
    "cut": {Audio: _by_chance(order.cut_samples), Motion: _by_chance(order.cut_samples)},
    "swap_axes": {Motion: _by_chance(order.swap_axes)},
}
_STRENGTHS: Mapping[str, _Strength] = {
    "noise": _Strength(default=500, least=0, most=noise.NUM_STEPS - 1),
    "shrink": _Strength(default=20, least=1, most=4096),
}
