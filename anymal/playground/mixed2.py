"""mixed2: do two media agree? One of them alone never tells.

Every source asks for a yes or a no. Its records come in blocks in which each value of either medium
stands in as many records to be answered yes as no, so that guessing from one medium is right half
of the time. Numbers of records are rounded down to whole blocks, to one at least. The values of
both media are in `meta.values`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from anymal.playground import labels, topics
from anymal.playground.pairs import GLIDES, ask_same_count, ask_same_way, draw_until
from anymal.playground.question import Question, ask_whether
from anymal.playground.recorded import ALL_LICENCES, renderers
from anymal.playground.scenes import Scene
from anymal.playground.sources import LazyRecords, Record, Split, render, to_record
from anymal.playground.topics import Part, Topic
from anymal.playground.words import ACTIVITIES, DIGITS

_FEWEST = 2  # shapes and beeps
_WAYS = ("up", "down")
_SIDES = ("left", "right")
# The activities that hand signs stand for, by what they show; the others are changes of posture.
_NUM_SIGNED = 6

Show = Callable[[int, np.random.Generator], Part]
Ask = Callable[[int, int, np.random.Generator], Question]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two media with as many values each, and the question whether they agree.

    Attributes:
        num_values: How many values either medium takes, counted from 0.
        show: A value to a message part, of the first and of the second medium.
        ask: Both values to a question; yes where they are equal.
    """

    num_values: int
    show: tuple[Show, Show]
    ask: Ask


def values_of(index: int, num_values: int) -> tuple[int, int]:
    """The values of both media of a record.

    A block of `2 * num_values` records holds each value of the first medium twice: with its equal,
    and with the one that lies a number of steps further on. That number changes by block.
    """
    block, place = divmod(index, 2 * num_values)
    first, differs = divmod(place, 2)
    step = 1 + block % (num_values - 1)
    return first, (first + differs * step) % num_values


def image_sound(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """As many shapes in the picture as beeps in the sound?"""

    def scene(value: int, rng: np.random.Generator) -> Part:
        count = value + _FEWEST
        return _draw(topics.SCENE, rng, lambda scene: len(scene.things) == count)

    def beeps(value: int, rng: np.random.Generator) -> Part:
        return _draw(topics.SOUND, rng, lambda sound: sound.count == value + _FEWEST)

    agreement = Agreement(
        num_values=4,
        show=(scene, beeps),
        ask=lambda first, second, rng: ask_same_count(first + _FEWEST, second + _FEWEST, rng),
    )
    return _records("mixed2 image sound", agreement, split, size, seed)


def image_motion(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """Does the phone turn to the side on which the shape is?"""

    def scene(value: int, rng: np.random.Generator) -> Part:
        return _draw(topics.LONE_SHAPE, rng, lambda scene: _side(scene) == value)

    def turn(value: int, rng: np.random.Generator) -> Part:
        wanted = f"turning {_SIDES[value]}"
        return _draw(topics.MOTION, rng, lambda motion: motion.kind == wanted)

    agreement = Agreement(num_values=2, show=(scene, turn), ask=_ask_same_side)
    return _records("mixed2 image motion", agreement, split, size, seed)


def video_sound(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """Do the shape and the tone both go up, or both down?"""

    def clip(value: int, rng: np.random.Generator) -> Part:
        return _draw(topics.CLIP, rng, lambda clip: clip.direction == _WAYS[value])

    def tone(value: int, rng: np.random.Generator) -> Part:
        return _draw(topics.SOUND, rng, lambda sound: GLIDES.get(sound.kind) == _WAYS[value])

    agreement = Agreement(
        num_values=2,
        show=(clip, tone),
        ask=lambda first, second, rng: ask_same_way(_WAYS[first], _WAYS[second], rng),
    )
    return _records("mixed2 video sound", agreement, split, size, seed)


def sign_speech(*, data: str, split: Split, size: int = 200, seed: int = 0) -> LazyRecords:
    """Does the voice say the digit that the hand shows?"""
    recorded = renderers(data, split)
    agreement = Agreement(
        num_values=len(DIGITS),
        show=(recorded[topics.SIGN.name], recorded[topics.SPEECH.name]),
        ask=lambda first, second, rng: labels.ask_match((first, second), rng),
    )
    return _records("mixed2 sign speech", agreement, split, size, seed, ALL_LICENCES)


def sign_activity(*, data: str, split: Split, size: int = 200, seed: int = 0) -> LazyRecords:
    """Does the hand show the number that the question gives to what the person does?"""
    recorded = renderers(data, split)
    sign = recorded[topics.SIGN.name]
    agreement = Agreement(
        num_values=_NUM_SIGNED,
        show=(lambda value, rng: sign(value + 1, rng), recorded[topics.ACTIVITY.name]),
        ask=_ask_signed_activity,
    )
    return _records("mixed2 sign activity", agreement, split, size, seed, ALL_LICENCES)


def film_speech(*, data: str, split: Split, size: int = 200, seed: int = 0) -> LazyRecords:
    """Does the voice say the digit that the hand shows first in the film?"""
    recorded = renderers(data, split)
    film = recorded[topics.SIGN_CLIP.name]

    def signs(value: int, rng: np.random.Generator) -> Part:
        others = rng.integers(len(DIGITS), size=2).tolist()
        return film((value, *others), rng)

    agreement = Agreement(
        num_values=len(DIGITS), show=(signs, recorded[topics.SPEECH.name]), ask=_ask_first_sign
    )
    return _records("mixed2 film speech", agreement, split, size, seed, ALL_LICENCES)


def _records(
    name: str,
    agreement: Agreement,
    split: Split,
    size: int,
    seed: int,
    licence: str | None = None,
) -> LazyRecords:
    """Whole blocks of records."""
    block = 2 * agreement.num_values

    def make(rng: np.random.Generator, record_name: str) -> Record:
        index = int(record_name.rsplit("-", 1)[1])
        values = values_of(index, agreement.num_values)
        parts = [show(value, rng) for show, value in zip(agreement.show, values, strict=True)]
        question = agreement.ask(*values, rng)
        record = to_record(parts[:: 1 if rng.random() < 0.5 else -1], [question], record_name)
        return record | {"meta": record["meta"] | {"task": name, "values": list(values)}}

    known: dict[str, Any] = {} if licence is None else {"licence": licence}
    whole = max(1, size // block) * block
    return LazyRecords(name=name, split=split, seed=seed, size=whole, make=make, **known)


def _draw(topic: Topic, rng: np.random.Generator, is_wanted: Callable[[Any], bool]) -> Part:
    """A generated medium whose facts are as wanted; all others are drawn at random."""
    return render(topic, draw_until(topic, rng, is_wanted), rng)


def _side(scene: Scene) -> int:
    """The side of a lone shape: 0 left, 1 right, -1 neither."""
    return {0: 0, 2: 1}.get(scene.things[0].place % 3, -1)


def _ask_same_side(first: int, second: int, rng: np.random.Generator) -> Question:
    phrasings = (
        "Does the phone turn to the side where the shape is?",
        "Is the shape on the side that the phone turns to?",
        "Do the shape and the turn of the phone go to the same side?",
    )
    seen, felt = _SIDES[first], _SIDES[second]
    statement = (
        f"both are on the {seen}"
        if first == second
        else f"the shape is on the {seen} and the phone turns {felt}"
    )
    return ask_whether(rng, phrasings, first == second, statement, task="mixed2 image motion")


def _ask_signed_activity(first: int, second: int, rng: np.random.Generator) -> Question:
    meanings = [f"{DIGITS[value + 1]} is {ACTIVITIES[value]}" for value in range(_NUM_SIGNED)]
    code = f"{', '.join(meanings)}.".capitalize()
    phrasings = (
        f"{code} Does the hand sign stand for what the person is doing?",
        f"{code} Is the person doing what the hand sign stands for?",
    )
    statement = f"the hand shows {DIGITS[first + 1]} and the person is {ACTIVITIES[second]}"
    return ask_whether(rng, phrasings, first == second, statement, task="mixed2 sign activity")


def _ask_first_sign(first: int, second: int, rng: np.random.Generator) -> Question:
    phrasings = (
        "Does the voice say the digit that the hand shows first?",
        "Is the spoken digit the first hand sign of the video?",
        "Is the first hand sign the digit that is spoken?",
    )
    statement = f"the first hand sign is {DIGITS[first]} and the voice says {DIGITS[second]}"
    return ask_whether(rng, phrasings, first == second, statement, task="mixed2 film speech")
