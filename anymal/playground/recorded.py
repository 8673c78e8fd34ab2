"""Records made of real recordings: spoken digits, phone motion, hand signs and clothes.

The folder of recordings is an argument, never a part of the project. Training records are varied
at every draw, because few people were recorded; held-out records are the files as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anymal.errors import DataError
from anymal.playground import labels, topics, variation
from anymal.playground.archives import (
    Recordings,
    load_activities,
    load_clothing,
    load_digits,
    load_signs,
)
from anymal.playground.clips import to_mp4
from anymal.playground.question import Question
from anymal.playground.scenes import to_png
from anymal.playground.sounds import to_wav
from anymal.playground.sources import (
    LazyRecords,
    Record,
    Split,
    Style,
    asking,
    check_shown,
    to_record,
    told_part,
)
from anymal.playground.topics import Part, Topic

# Facts to a message part with a file.
Renderer = Callable[[Any, np.random.Generator], Part]

SPEECH_RATE_HZ = 8000
MOTION_RATE_HZ = 50
WINDOW_SAMPLES = 128
_FILM_SIDE = 100

_SIGNS_LICENCE = "Apache-2.0"  # Sign Language Digits Dataset
_SPEECH_LICENCE = "CC-BY-SA-4.0"  # Free Spoken Digit Dataset
_CLOTHES_LICENCE = "MIT"  # Fashion-MNIST
_MOTION_LICENCE = "LicenseRef-HAPT-NC"  # UCI HAPT: "any commercial use is prohibited"
_BOTH_LICENCES = f"{_SIGNS_LICENCE} AND {_SPEECH_LICENCE}"
ALL_LICENCES = f"{_BOTH_LICENCES} AND {_CLOTHES_LICENCE} AND {_MOTION_LICENCE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of labelled recording.

    Attributes:
        topic: What is said and asked about it.
        load: A folder and a split to recordings.
        part: A recording to a message part; varied where a generator is given.
        licence: SPDX name of the data set's licence.
    """

    topic: Topic
    load: Callable[[Path, Split], Recordings]
    part: Callable[[Any, np.random.Generator | None], Part]
    licence: str


def sign_part(photo: Any, rng: np.random.Generator | None) -> Part:
    """A photo of a hand as a message part."""
    return topics.image_part(to_png(variation.vary_photo(photo, rng)))


def clothing_part(photo: Any, rng: np.random.Generator | None) -> Part:
    """A product photo as a message part."""
    return topics.image_part(to_png(variation.vary_product(photo, rng)))


def speech_part(samples: Any, rng: np.random.Generator | None) -> Part:
    """A spoken digit as a message part."""
    varied = variation.vary_speech(samples, SPEECH_RATE_HZ, rng)
    return topics.audio_part(to_wav(varied, SPEECH_RATE_HZ))


def activity_part(segment: Any, rng: np.random.Generator | None) -> Part:
    """A stretch of phone motion as a message part, accelerations in g."""
    samples = variation.vary_motion(segment, WINDOW_SAMPLES, rng)
    return topics.imu_part(variation.to_npy(samples), "npy", MOTION_RATE_HZ, "g")


SIGNS = Kind(topic=topics.SIGN, load=load_signs, part=sign_part, licence=_SIGNS_LICENCE)
CLOTHES = Kind(
    topic=topics.CLOTHES, load=load_clothing, part=clothing_part, licence=_CLOTHES_LICENCE
)
SPEECH = Kind(topic=topics.SPEECH, load=load_digits, part=speech_part, licence=_SPEECH_LICENCE)
ACTIVITIES = Kind(
    topic=topics.ACTIVITY, load=load_activities, part=activity_part, licence=_MOTION_LICENCE
)


def digits(
    *,
    data: str,
    split: Split,
    size: int | None = None,
    seed: int = 0,
    style: Style = "question",
    unheard: str | None = None,
) -> LazyRecords:
    """Spoken digits; the last takes of every speaker are held out, or one speaker altogether."""
    return _of_kind("digits", _speech(unheard), data, split, size, seed, style)


def activities(
    *, data: str, split: Split, size: int | None = None, seed: int = 0, style: Style = "question"
) -> LazyRecords:
    """Windows of phone motion; some people are held out altogether."""
    return _of_kind("activities", ACTIVITIES, data, split, size, seed, style)


def signs(
    *, data: str, split: Split, size: int | None = None, seed: int = 0, style: Style = "question"
) -> LazyRecords:
    """Photos of hand signs."""
    return _of_kind("signs", SIGNS, data, split, size, seed, style)


def clothing(
    *, data: str, split: Split, size: int | None = None, seed: int = 0, style: Style = "question"
) -> LazyRecords:
    """Product photos of clothes."""
    return _of_kind("clothing", CLOTHES, data, split, size, seed, style)


def sign_clips(
    *, data: str, split: Split, size: int = 200, seed: int = 0, style: Style = "question"
) -> LazyRecords:
    """Clips of hand-sign photos one after another; held-out clips show three."""
    film = renderers(data, split)[topics.SIGN_CLIP.name]
    ask = _asking(topics.SIGN_CLIP, style, split)

    def make(rng: np.random.Generator, name: str) -> Record:
        drawn = rng.integers(10, size=3) if split == "heldout" else labels.draw_sign_clip(rng)
        shown = tuple(int(label) for label in drawn)
        return to_record([film(shown, rng)], [ask(shown, rng)], name)

    return LazyRecords(
        name="sign_clips", split=split, seed=seed, size=size, make=make, licence=_SIGNS_LICENCE
    )


def sign_and_speech(
    *,
    data: str,
    split: Split,
    size: int = 200,
    seed: int = 0,
    shown: str | None = None,
    unheard: str | None = None,
) -> LazyRecords:
    """A hand sign and a spoken digit; held-out questions ask whether they match.

    With `shown`, only the medium of that modality is there; words describe the other. `unheard` is
    that of `digits`.
    """
    ask = labels.ask_match if split == "heldout" else labels.ask_about_sign_and_speech
    return _of_sign_and_speech("sign_and_speech", ask, data, split, size, seed, shown, unheard)


def larger_digit(
    *, data: str, split: Split, size: int = 200, seed: int = 0, unheard: str | None = None
) -> LazyRecords:
    """A hand sign and a spoken digit, always asked which is larger."""
    return _of_sign_and_speech(
        "larger_digit", labels.ask_larger, data, split, size, seed, None, unheard
    )


def _of_sign_and_speech(
    name: str,
    ask: Callable[[tuple[int, int], np.random.Generator], Question],
    data: str,
    split: Split,
    size: int,
    seed: int,
    shown: str | None,
    unheard: str | None,
) -> LazyRecords:
    """Records of a hand sign and a spoken digit, or of one of them with the other in words."""
    check_shown(shown, (topics.SIGN.modality, topics.SPEECH.modality))
    kinds = (SIGNS, _speech(unheard))
    opened = [kind.load(_folder(data), split) for kind in kinds]

    def make(rng: np.random.Generator, record: str) -> Record:
        pair = labels.draw_sign_and_speech(rng)
        question = ask(pair, rng)
        vary = _varying(split, rng)
        parts = [
            kind.part(recordings.any_of(label, rng), vary)
            if shown in (None, kind.topic.modality)
            else told_part(kind.topic, label)
            for kind, recordings, label in zip(kinds, opened, pair, strict=True)
        ]
        return to_record(parts[:: 1 if rng.random() < 0.5 else -1], [question], record)

    return LazyRecords(
        name=name, split=split, seed=seed, size=size, make=make, licence=_BOTH_LICENCES
    )


def renderers(data: str, split: Split) -> dict[str, Renderer]:
    """For each topic of recordings, by name, what shows one with given facts.

    A recording with the wanted label is chosen at random; it is varied in training alone.
    """

    def shows(kind: Kind) -> Renderer:
        recordings = kind.load(_folder(data), split)
        return lambda label, rng: kind.part(recordings.any_of(label, rng), _varying(split, rng))

    photos = SIGNS.load(_folder(data), split)

    def film(shown: Any, rng: np.random.Generator) -> Part:
        chosen = [photos.any_of(label, rng) for label in shown]
        return topics.video_part(_film(chosen, _varying(split, rng)))

    kinds = (SIGNS, CLOTHES, SPEECH, ACTIVITIES)
    return {kind.topic.name: shows(kind) for kind in kinds} | {topics.SIGN_CLIP.name: film}


def _speech(unheard: str | None) -> Kind:
    """Spoken digits, of which one speaker's may be held out."""
    return replace(SPEECH, load=partial(load_digits, unheard=unheard))


def _varying(split: Split, rng: np.random.Generator) -> np.random.Generator | None:
    """What varies recordings; None leaves them as they are."""
    return None if split == "heldout" else rng


@cache
def _folder(data: str) -> Path:
    """The folder of recordings, or an error that says how to name it."""
    folder = Path(data)
    if not data or not folder.is_dir():
        raise DataError(
            f"no folder of recordings at {data!r}; give data=DIR or set ANYMAL_DATA to the folder "
            "that holds fsdd, hapt, sign_digits and fashion"
        )
    return folder


def _of_kind(
    name: str, kind: Kind, data: str, split: Split, size: int | None, seed: int, style: Style
) -> LazyRecords:
    """Records of one labelled recording each.

    Training draws all labels equally often; held-out records go through the files in order.
    """
    recordings = kind.load(_folder(data), split)
    ask = _asking(kind.topic, style, split)

    def make(rng: np.random.Generator, record_name: str) -> Record:
        if split == "heldout":
            index = int(record_name.rsplit("-", 1)[1]) % len(recordings.labels)
            label, item, vary = recordings.labels[index], recordings.items[index], None
        else:
            label, vary = kind.topic.draw(rng), rng
            item = recordings.any_of(label, rng)
        question = ask(label, rng)
        return to_record([kind.part(item, vary)], [question], record_name)

    count = len(recordings.labels) if size is None else size
    return LazyRecords(
        name=name, split=split, seed=seed, size=count, make=make, licence=kind.licence
    )


def _asking(
    topic: Topic, style: Style, split: Split
) -> Callable[[Any, np.random.Generator], Question]:
    """Facts to a question; held-out recordings are asked what they are and nothing else."""
    return asking(topic, "caption" if (split, style) == ("heldout", "question") else style)


def _film(photos: Sequence[Image.Image], rng: np.random.Generator | None) -> bytes:
    """An MP4 that shows photos one after another, for as long as chance has it in training."""
    frames: list[Image.Image] = []
    rate = 8 if rng is None else int(rng.choice([1, 2, 5, 8, 10, 24]))
    shown = 8 if rng is None else max(1, int(rate * rng.uniform(0.5, 1.5)))
    for photo in photos:
        varied = variation.vary_photo(photo, rng).resize((_FILM_SIDE, _FILM_SIDE))
        count = shown if rng is None else max(1, round(shown * rng.uniform(0.8, 1.25)))
        frames += [varied] * count
    return to_mp4(frames, rate=rate)
