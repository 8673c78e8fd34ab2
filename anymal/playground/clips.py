"""Clips: a moving shape, a change of colour, or shapes that appear one after another.

Facts first; the film, its description and its questions follow from them. Films are MP4.
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anymal.playground.question import Question, ask
from anymal.playground.scenes import blank_canvas, finish, paint
from anymal.playground.words import COLOURS, DIRECTIONS, SHAPES, SPEEDS, in_order

FRAMES_PER_SECOND = 8
NUM_FRAMES = 16
RADIUS = 0.13
_TRAVEL = {"slowly": 0.28, "quickly": 0.68}
_STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What happens; shapes and colours hold one entry, or one for each event in order."""

    kind: Literal["move", "change", "order"]
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    direction: str = ""
    speed: str = ""


def draw_clip(rng: np.random.Generator) -> Clip:
    """Draws the facts of one clip."""
    kind = str(rng.choice(["move", "change", "order"], p=[0.5, 0.2, 0.3]))
    if kind == "move":
        return Clip(
            kind="move",
            shapes=(str(rng.choice(SHAPES)),),
            colours=(str(rng.choice(list(COLOURS))),),
            direction=str(rng.choice(DIRECTIONS)),
            speed=str(rng.choice(SPEEDS)),
        )
    if kind == "order":
        return _draw_order(int(rng.integers(2, 4)), rng)
    colours = tuple(str(c) for c in rng.choice(list(COLOURS), 2, replace=False))
    return Clip(kind="change", shapes=(str(rng.choice(SHAPES)),), colours=colours)


def draw_order(rng: np.random.Generator) -> Clip:
    """Draws a clip of shapes that appear one after another, three more often than two."""
    return _draw_order(int(rng.choice([2, 3], p=[0.35, 0.65])), rng)


def _draw_order(count: int, rng: np.random.Generator) -> Clip:
    """So many different shapes of different colours."""
    colours = tuple(str(c) for c in rng.choice(list(COLOURS), count, replace=False))
    shapes = tuple(str(s) for s in rng.choice(SHAPES, count, replace=False))
    return Clip(kind="order", shapes=shapes, colours=colours)


def render_clip(clip: Clip, rng: np.random.Generator) -> list[Image.Image]:
    """Paints the NUM_FRAMES frames."""
    ground_seed = int(rng.integers(2**31))
    centre = 0.5 + rng.uniform(-0.06, 0.06, 2)
    frames = []
    for index in range(NUM_FRAMES):
        canvas = blank_canvas(np.random.default_rng(ground_seed))
        moment = index / (NUM_FRAMES - 1)
        event = min(int(moment * len(clip.colours)), len(clip.colours) - 1)
        x, y = centre
        if clip.kind == "move":
            way = _TRAVEL[clip.speed] * (moment - 0.5)
            x, y = x + _STEP[clip.direction][0] * way, y + _STEP[clip.direction][1] * way
        shape = clip.shapes[event if clip.kind == "order" else 0]
        paint(canvas, shape, clip.colours[event], float(x), float(y), RADIUS)
        frames.append(finish(canvas))
    return frames


def to_mp4(
    frames: list[Image.Image] | NDArray[np.uint8], *, rate: int = FRAMES_PER_SECOND
) -> bytes:
    """Encodes frames as the bytes of an MP4 file (H.264)."""
    buffer = io.BytesIO()
    first = Image.fromarray(np.asarray(frames[0]))
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = first.size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        stream.options = {"preset": "ultrafast", "crf": "18", "threads": "1"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture))))
        container.mux(stream.encode())
    return buffer.getvalue()


def describe_clip(clip: Clip) -> str:
    """The words that stand for the clip."""
    if clip.kind == "move":
        return f"a {clip.colours[0]} {clip.shapes[0]} moving {clip.direction} {clip.speed}"
    if clip.kind == "change":
        return f"a {clip.shapes[0]} turning from {clip.colours[0]} to {clip.colours[1]}"
    return in_order(_things(clip))


def _things(clip: Clip) -> tuple[str, ...]:
    """The things of an order clip, each as colour and shape."""
    return tuple(f"a {c} {s}" for c, s in zip(clip.colours, clip.shapes, strict=True))


_DESCRIBE = (
    "Describe the video.",
    "Describe the clip.",
    "What happens in the video?",
    "What happens?",
    "What does the clip show?",
)


def ask_about_clip(clip: Clip, rng: np.random.Generator) -> Question:
    """One question about the clip."""
    if rng.random() < 0.2:
        return caption_clip(clip, rng)
    if clip.kind == "move":
        return _ask_about_movement(clip, rng)
    return _ask_about_change(clip, rng) if clip.kind == "change" else _ask_about_order(clip, rng)


def caption_clip(clip: Clip, rng: np.random.Generator) -> Question:
    """Asks for a description."""
    words = describe_clip(clip)
    answer = f"The video shows {words}."
    return ask(rng, _DESCRIBE, answer, task="clip caption", expected=words, choices=())


def _ask_about_movement(clip: Clip, rng: np.random.Generator) -> Question:
    """Direction, speed, colour or shape of what moves."""
    shape, colour = clip.shapes[0], clip.colours[0]
    noun = str(rng.choice([shape, "object", "shape"]))
    pick = rng.random()
    phrasings: tuple[str, ...]
    if pick < 0.4:
        phrasings = (
            f"Which way does the {noun} move?",
            f"In which direction does the {noun} move?",
            f"Where is the {noun} moving?",
            f"What direction is the {noun} moving?",
        )
        answer = f"The {shape} moves {clip.direction}."
        return ask(
            rng,
            phrasings,
            answer,
            task="clip direction",
            expected=clip.direction,
            choices=DIRECTIONS,
        )
    if pick < 0.65:
        phrasings = (
            f"How fast does the {noun} move?",
            f"Does the {noun} move slowly or quickly?",
            f"What is the speed of the {noun}?",
        )
        answer = f"The {shape} moves {clip.speed}."
        return ask(rng, phrasings, answer, task="clip speed", expected=clip.speed, choices=SPEEDS)
    if pick < 0.85:
        phrasings = (f"What colour is the {noun}?", f"Which colour does the {noun} have?")
        answer = f"The {shape} is {colour}."
        return ask(
            rng, phrasings, answer, task="clip colour", expected=colour, choices=tuple(COLOURS)
        )
    phrasings = ("What shape is moving?", "Which shape moves?", "What is moving?")
    answer = f"A {colour} {shape} is moving."
    return ask(rng, phrasings, answer, task="clip shape", expected=shape, choices=SHAPES)


def _ask_about_change(clip: Clip, rng: np.random.Generator) -> Question:
    """The colour before or after."""
    shape, (before, after) = clip.shapes[0], clip.colours
    noun = str(rng.choice([shape, "object", "shape"]))
    phrasings: tuple[str, ...]
    if rng.random() < 0.5:
        phrasings = (
            f"What colour does the {noun} become?",
            f"What colour is the {noun} at the end?",
            f"Which colour does the {noun} turn into?",
        )
        answer, colour = f"The {shape} becomes {after}.", after
    else:
        phrasings = (
            f"What colour is the {noun} at first?",
            f"What colour is the {noun} at the start?",
        )
        answer, colour = f"At first the {shape} is {before}.", before
    return ask(
        rng, phrasings, answer, task="clip colour change", expected=colour, choices=tuple(COLOURS)
    )


def _ask_about_order(clip: Clip, rng: np.random.Generator) -> Question:
    """What comes first, what comes last, or all of it in order."""
    things = _things(clip)
    pick = rng.random()
    if pick < 0.34:
        phrasings = (
            "Which shapes appear, in order?",
            "What is the order of the shapes?",
            "Name the shapes in order.",
        )
        answer = in_order(things).capitalize() + "."
        return ask(rng, phrasings, answer, task="clip order", expected=clip.shapes, choices=SHAPES)
    index, word = (0, "first") if pick < 0.67 else (-1, "last")
    phrasings = (
        f"Which shape appears {word}?",
        f"What appears {word}?",
        f"What comes {word}?",
    )
    answer = f"{things[index].capitalize()} comes {word}."
    return ask(
        rng,
        phrasings,
        answer,
        task=f"clip {word}",
        expected=clip.shapes[index],
        choices=SHAPES,
    )
