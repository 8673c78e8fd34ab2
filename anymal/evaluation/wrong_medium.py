"""A medium of another kind in the place of each: a sound where the question is about an image.

Does not decide which questions are asked with it; see `questions.py`. The media are those of the
playground, so that a task of images alone can be asked with sounds.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from anymal.playground.sources import render
from anymal.playground.topics import PLAYGROUND

# Films come last, because they take longest to draw.
_ORDER = ("image", "audio", "imu", "video")
_LOOKED_AT = {"image", "video"}


def other_kind(modality: str, known: Iterable[str]) -> str | None:
    """The modality whose media stand in for those of another; None where there is none.

    Args:
        modality: Of the question's own medium; a film is no other kind than an image.
        known: The model's modalities.
    """
    own = _LOOKED_AT if modality in _LOOKED_AT else {modality}
    return next((name for name in _ORDER if name in known and name not in own), None)


def wrong_medium(modality: str, *, seed: Sequence[int]) -> dict[str, Any]:
    """A generated medium as a message part.

    Args:
        modality: One that `other_kind` names.
        seed: Of what it shows.
    """
    random = np.random.default_rng(list(seed))
    topic = next(topic for topic in PLAYGROUND if topic.modality == modality)
    return render(topic, topic.draw(random), random)
