"""Open the folders of recordings and split them into training and held-out parts.

Reads only; how recordings are varied is in `variation.py`, what is asked in `labels.py`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from anymal.errors import DataError

# Held out: these people's motion, each speaker's last takes, the last photos of each class.
HELD_OUT_PEOPLE = frozenset({28, 29, 30})
_HELD_OUT_TAKES_FROM = 47
_HELD_OUT_SIGNS = 10
_HELD_OUT_CLOTHES = 6
_MOTION_WINDOW = 128
# Raw counts to g and to rad/s, as the data set's own page gives them.
_MOTION_SCALE = np.array([1 / 720] * 3 + [0.00030543261909900766] * 3, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """Labelled recordings, decoded as far as varying them needs.

    Attributes:
        items: One decoded recording each.
        labels: The label of each.
        groups: Indices of the recordings of each label.
    """

    items: tuple[Any, ...]
    labels: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]

    def any_of(self, label: int, rng: np.random.Generator) -> Any:
        """A random recording with this label."""
        group = self.groups[label]
        return self.items[group[int(rng.integers(len(group)))]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """A labelled stretch of a longer motion recording.

    Attributes:
        samples: [N, 6] float32, g and rad/s, of the whole recording.
        start: First sample of the stretch.
        end: One past its last sample.
    """

    samples: Any
    start: int
    end: int


def _group(items: list[Any], labels: list[int], num_labels: int) -> Recordings:
    groups = tuple(
        tuple(i for i, label in enumerate(labels) if label == wanted)
        for wanted in range(num_labels)
    )
    return Recordings(items=tuple(items), labels=tuple(labels), groups=groups)


def _need(path: Path) -> Path:
    """The path, or an error that names what is missing."""
    if not path.exists():
        raise DataError(f"{path} is missing; the folder of recordings must hold it")
    return path


@cache
def load_digits(folder: Path, split: str, *, unheard: str | None = None) -> Recordings:
    """Spoken digits: float32 at 8 kHz, files named digit_speaker_take.wav.

    With `unheard`, that speaker is held out altogether, instead of each speaker's last takes.
    """
    items, labels, speakers = [], [], set()
    for path in sorted(_need(folder / "fsdd" / "recordings").glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        speakers.add(speaker)
        is_last = int(take) >= _HELD_OUT_TAKES_FROM
        is_held_out = is_last if unheard is None else speaker == unheard
        if is_held_out == (split == "heldout"):
            items.append(soundfile.read(path, dtype="float32")[0])
            labels.append(int(digit))
    if unheard is not None and unheard not in speakers:
        raise DataError(f"no speaker {unheard!r}; there are {', '.join(sorted(speakers))}")
    return _group(items, labels, 10)


@cache
def load_signs(folder: Path, split: str) -> Recordings:
    """Photos of hand signs, one folder for each digit."""
    items, labels = [], []
    for digit in range(10):
        paths = sorted(
            p for p in _need(folder / "sign_digits" / str(digit)).iterdir() if p.suffix == ".JPG"
        )
        cut = len(paths) - _HELD_OUT_SIGNS
        for path in paths[cut:] if split == "heldout" else paths[:cut]:
            with Image.open(path) as photo:
                items.append(photo.convert("RGB"))
            labels.append(digit)
    return _group(items, labels, 10)


@cache
def load_clothing(folder: Path, split: str) -> Recordings:
    """Grey product photos of 28 x 28 pixels."""
    archive = np.load(_need(folder / "fashion" / "fashion.npz"), allow_pickle=False)
    items, labels = [], []
    for label in range(10):
        indices = np.flatnonzero(archive["labels"] == label)
        cut = len(indices) - _HELD_OUT_CLOTHES
        for index in indices[cut:] if split == "heldout" else indices[:cut]:
            items.append(Image.fromarray(archive["images"][index]).convert("RGB"))
            labels.append(label)
    return _group(items, labels, 10)


@cache
def load_activities(folder: Path, split: str) -> Recordings:
    """Phone motion: whole labelled stretches in training, windows of 2.56 s when held out."""
    archive = np.load(_need(folder / "hapt" / "recordings.npz"), allow_pickle=False)
    rows = np.loadtxt(_need(folder / "hapt" / "labels.txt"), dtype=int)
    recordings: dict[str, Any] = {}
    items, labels = [], []
    for experiment, person, activity, start, end in rows:
        if (person in HELD_OUT_PEOPLE) != (split == "heldout"):
            continue
        name = f"exp{experiment:02d}_user{person:02d}"
        if name not in recordings:
            recordings[name] = archive[name].astype(np.float32) * _MOTION_SCALE
        stretch = Stretch(samples=recordings[name], start=int(start) - 1, end=int(end))
        pieces = _windows(stretch) if split == "heldout" else [stretch]
        items += pieces
        labels += [int(activity) - 1] * len(pieces)
    return _group(items, labels, 12)


def _windows(stretch: Stretch) -> list[Stretch]:
    """Windows next to each other; a shorter stretch gives one window around its middle."""
    length = _MOTION_WINDOW
    starts = list(range(stretch.start, stretch.end - length + 1, length))
    if not starts:
        middle = (stretch.start + stretch.end - length) // 2
        starts = [min(max(0, middle), len(stretch.samples) - length)]
    return [Stretch(samples=stretch.samples, start=start, end=start + length) for start in starts]
