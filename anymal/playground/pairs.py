"""Questions that need two media at once, and questions about one of two.

A pair is two media with their topics; comparisons exist for some pairs of topics only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from anymal.playground import labels, topics
from anymal.playground.clips import Clip
from anymal.playground.motions import PhoneMotion
from anymal.playground.question import Question, ask, ask_whether, weigh
from anymal.playground.scenes import Scene
from anymal.playground.sounds import MAX_BEEPS, Sound
from anymal.playground.topics import PLAYGROUND, RECORDED, Topic
from anymal.playground.words import DIGITS, YES_NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """Facts and the topic they belong to."""

    topic: Topic
    facts: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two media, in the order in which they are shown, and what is asked about them.

    Attributes:
        media: The two.
        ask: Draws one question.
        enough: Sets of modalities, each of which is enough to answer it; none where both media are
            needed.
    """

    media: tuple[Medium, Medium]
    ask: Callable[[np.random.Generator], Question]
    enough: tuple[tuple[str, ...], ...] = ()


def draw_comparison(rng: np.random.Generator) -> Pair:
    """Two generated media and questions that neither of them answers alone."""
    makers = (_count_pair, _count_pair, _way_pair, _colour_pair, _pace_pair)
    return _in_any_order(makers[int(rng.integers(len(makers)))](rng), rng)


def draw_shapes_and_beeps(rng: np.random.Generator) -> Pair:
    """A picture and a sound whose counts are to be compared."""
    return _in_any_order(_count_pair(rng), rng)


def draw_either(rng: np.random.Generator, among: tuple[Topic, ...] = PLAYGROUND + RECORDED) -> Pair:
    """Two media of different modalities and questions about one of them."""
    first = among[int(rng.integers(len(among)))]
    others = [topic for topic in among if topic.modality != first.modality]
    second = others[int(rng.integers(len(others)))]
    media = tuple(Medium(topic=topic, facts=topic.draw(rng)) for topic in (first, second))
    ask_about = partial(first.ask, media[0].facts)
    pair = Pair(media=(media[0], media[1]), ask=ask_about, enough=((first.modality,),))
    return _in_any_order(pair, rng)


def draw_sign_and_speech_pair(rng: np.random.Generator) -> Pair:
    """A hand sign and a spoken digit to compare."""
    facts = labels.draw_sign_and_speech(rng)
    media = (Medium(topic=topics.SIGN, facts=facts[0]), Medium(topic=topics.SPEECH, facts=facts[1]))
    return _in_any_order(
        Pair(media=media, ask=partial(labels.ask_about_sign_and_speech, facts)), rng
    )


def _in_any_order(pair: Pair, rng: np.random.Generator) -> Pair:
    """Which medium comes first says nothing."""
    if rng.random() < 0.5:
        return pair
    return replace(pair, media=(pair.media[1], pair.media[0]))


def draw_until(topic: Topic, rng: np.random.Generator, is_wanted: Callable[[Any], bool]) -> Any:
    """Draws facts until they are of the kind that a comparison needs."""
    while True:
        facts = topic.draw(rng)
        if is_wanted(facts):
            return facts


def _count_pair(rng: np.random.Generator) -> Pair:
    """Shapes in a picture against beeps in a sound."""
    sound: Sound = draw_until(topics.SOUND, rng, lambda s: s.kind == "beeps")
    same = bool(rng.random() < 0.4)
    scene: Scene = draw_until(
        topics.SCENE,
        rng,
        lambda s: len(s.things) <= MAX_BEEPS and (len(s.things) == sound.count) == same,
    )
    return Pair(
        media=(Medium(topic=topics.SCENE, facts=scene), Medium(topic=topics.SOUND, facts=sound)),
        ask=partial(_ask_about_counts, len(scene.things), sound.count),
    )


def _ask_about_counts(shapes: int, beeps: int, rng: np.random.Generator) -> Question:
    """Whether there are as many, or of which there are more."""
    if rng.random() < 0.5:
        return ask_same_count(shapes, beeps, rng)
    phrasings = (
        "Are there more shapes or more beeps?",
        "Which are more, the shapes or the beeps?",
    )
    more = "shapes" if shapes > beeps else "beeps"
    verdict = "equally many" if shapes == beeps else f"more {more}"
    return ask(
        rng,
        phrasings,
        weigh(_both_counts(shapes, beeps), verdict),
        task="mixed more",
        expected=verdict,
        choices=("more shapes", "more beeps", "equally many"),
    )


def ask_same_count(shapes: int, beeps: int, rng: np.random.Generator) -> Question:
    """Whether there are as many shapes as beeps."""
    phrasings = (
        "Are there as many shapes as beeps?",
        "Is the number of shapes equal to the number of beeps?",
        "Do the shapes and the beeps have the same number?",
    )
    word, verdict = ("yes", "equally many") if shapes == beeps else ("no", "not equally many")
    answer = weigh(_both_counts(shapes, beeps), f"{word}, {verdict}")
    return ask(rng, phrasings, answer, task="mixed same count", expected=word, choices=YES_NO)


def _both_counts(shapes: int, beeps: int) -> str:
    verb, noun = ("is", "shape") if shapes == 1 else ("are", "shapes")
    return f"there {verb} {DIGITS[shapes]} {noun} and {DIGITS[beeps]} beeps"


def _way_pair(rng: np.random.Generator) -> Pair:
    """A shape that moves up or down against a tone that rises or falls."""
    clip: Clip = draw_until(topics.CLIP, rng, lambda c: c.direction in ("up", "down"))
    sound: Sound = draw_until(topics.SOUND, rng, lambda s: s.kind in GLIDES)
    return Pair(
        media=(Medium(topic=topics.CLIP, facts=clip), Medium(topic=topics.SOUND, facts=sound)),
        ask=partial(ask_same_way, clip.direction, GLIDES[sound.kind]),
    )


def ask_same_way(seen: str, heard: str, rng: np.random.Generator) -> Question:
    """Whether a shape and a tone both go up or both go down."""
    phrasings = (
        "Do the shape and the tone go the same way?",
        "Does the tone go the way the shape moves?",
        "Do the video and the sound go in the same direction?",
    )
    same = seen == heard
    statement = f"both go {heard}" if same else f"the shape goes {seen} and the tone goes {heard}"
    return ask_whether(rng, phrasings, same, statement, task="mixed same way")


GLIDES = {"rising tone": "up", "falling tone": "down"}


def _colour_pair(rng: np.random.Generator) -> Pair:
    """The colour of a lone shape in a picture against that of a moving shape."""
    clip: Clip = draw_until(topics.CLIP, rng, lambda c: c.kind == "move")
    same = bool(rng.random() < 0.5)
    seen = clip.colours[0]
    scene: Scene = draw_until(
        topics.SCENE,
        rng,
        lambda s: len(s.things) == 1 and (s.things[0].colour == seen) == same,
    )
    phrasings = (
        "Is the shape in the image as coloured as the one in the video?",
        "Do the image and the video show the same colour?",
        "Is the colour in the picture the same as in the video?",
    )
    colour = scene.things[0].colour
    statement = f"both are {seen}" if same else f"the image is {colour} and the video is {seen}"
    return Pair(
        media=(Medium(topic=topics.SCENE, facts=scene), Medium(topic=topics.CLIP, facts=clip)),
        ask=_asks_whether(phrasings, same, statement, "mixed same colour"),
    )


def _pace_pair(rng: np.random.Generator) -> Pair:
    """The pace of a walk against the tempo of beeps."""
    motion: PhoneMotion = draw_until(topics.MOTION, rng, lambda m: m.pace != "")
    sound: Sound = draw_until(topics.SOUND, rng, lambda s: s.kind == "beeps")
    same = motion.pace == sound.tempo
    phrasings = (
        "Do the beeps fit the walking pace?",
        "Is the tempo of the beeps like the pace of the walk?",
        "Are the walk and the beeps equally fast?",
    )
    statement = (
        f"both are {sound.tempo}"
        if same
        else f"the pace is {motion.pace} and the beeps are {sound.tempo}"
    )
    return Pair(
        media=(Medium(topic=topics.MOTION, facts=motion), Medium(topic=topics.SOUND, facts=sound)),
        ask=_asks_whether(phrasings, same, statement, "mixed same pace"),
    )


def _asks_whether(
    phrasings: tuple[str, ...], is_true: bool, statement: str, task: str
) -> Callable[[np.random.Generator], Question]:
    """The one question of a comparison."""
    return lambda rng: ask_whether(rng, phrasings, is_true, statement, task=task)
