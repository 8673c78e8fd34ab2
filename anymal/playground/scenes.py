"""Scenes: coloured shapes on a plain ground, as a picture and as words.

A scene is either an arrangement (one to three different shapes, each at a named place) or a
crowd (two to six shapes of one kind). Clips draw their frames with the same brush.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from anymal.playground.words import (
    COLOURS,
    DIGITS,
    PLACES,
    SHAPES,
    SIZES,
    listed,
    plural,
)

SIDE = 96
_OVERSAMPLING = 3
_RADIUS = {"small": 0.075, "large": 0.135}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One shape; place indexes PLACES, row by row."""

    shape: str
    colour: str
    size: str
    place: int

    @property
    def look(self) -> str:
        """Size, colour and shape: "small red circle"."""
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The things in the picture in reading order; a crowd repeats one thing."""

    things: tuple[Thing, ...]
    is_crowd: bool


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draws the facts of one scene."""
    if rng.random() < 0.35:
        return _draw_crowd(rng)
    return _draw_different(int(rng.choice([1, 2, 3], p=[0.25, 0.4, 0.35])), rng)


def draw_several(rng: np.random.Generator) -> Scene:
    """Draw a scene of two or three things, which have to be told apart."""
    return _draw_different(int(rng.choice([2, 3], p=[0.35, 0.65])), rng)


def _draw_different(count: int, rng: np.random.Generator) -> Scene:
    """Things of different shapes, colours and places."""
    places = sorted(rng.choice(len(PLACES), count, replace=False))
    shapes = rng.choice(SHAPES, count, replace=False)
    colours = rng.choice(list(COLOURS), count, replace=False)
    return Scene(
        things=tuple(
            Thing(shape=str(s), colour=str(c), size=str(rng.choice(SIZES)), place=int(p))
            for s, c, p in zip(shapes, colours, places, strict=True)
        ),
        is_crowd=False,
    )


def draw_lone(rng: np.random.Generator) -> Scene:
    """Draw a scene of one thing, the simplest there is."""
    thing = Thing(
        shape=str(rng.choice(SHAPES)),
        colour=str(rng.choice(list(COLOURS))),
        size=str(rng.choice(SIZES)),
        place=int(rng.integers(len(PLACES))),
    )
    return Scene(things=(thing,), is_crowd=False)


def _draw_crowd(rng: np.random.Generator) -> Scene:
    """Two to six equal things in different places."""
    count = int(rng.integers(2, 7))
    shape, colour = str(rng.choice(SHAPES)), str(rng.choice(list(COLOURS)))
    size = str(rng.choice(SIZES))
    places = sorted(rng.choice(len(PLACES), count, replace=False))
    things = (Thing(shape=shape, colour=colour, size=size, place=int(p)) for p in places)
    return Scene(things=tuple(things), is_crowd=True)


def render_scene(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Paints the scene; places are met within a small jitter, the ground varies a little."""
    canvas = blank_canvas(rng)
    for thing in scene.things:
        row, column = divmod(thing.place, 3)
        x, y = (np.array([column, row]) + 0.5) / 3 + rng.uniform(-0.02, 0.02, 2)
        paint(canvas, thing.shape, thing.colour, float(x), float(y), _RADIUS[thing.size])
    return finish(canvas)


def blank_canvas(rng: np.random.Generator) -> Image.Image:
    """A light ground, oversampled so that edges come out smooth."""
    side = SIDE * _OVERSAMPLING
    shade = int(rng.integers(225, 256))
    return Image.new("RGB", (side, side), (shade, shade, shade))


def paint(canvas: Image.Image, shape: str, colour: str, x: float, y: float, radius: float) -> None:
    """Paints one shape centred at (x, y); all lengths as fractions of the canvas side."""
    side = canvas.width
    cx, cy, r = x * side, y * side, radius * side
    brush = ImageDraw.Draw(canvas)
    fill = COLOURS[colour]
    if shape == "circle":
        brush.ellipse((cx - r, cy - r, cx + r, cy + r), fill=fill)
    elif shape == "square":
        half = r * 0.9
        brush.rectangle((cx - half, cy - half, cx + half, cy + half), fill=fill)
    else:
        brush.polygon(_corners(shape, cx, cy, r * 1.15), fill=fill)


def _corners(shape: str, cx: float, cy: float, r: float) -> list[tuple[float, float]]:
    """Corners of a triangle or of a five-pointed star, tip upward."""
    radii = [r] * 3 if shape == "triangle" else [r, r * 0.42] * 5
    angles = np.arange(len(radii)) * (2 * np.pi / len(radii)) - np.pi / 2
    points = zip(radii, angles, strict=True)
    return [(cx + q * float(np.cos(a)), cy + q * float(np.sin(a))) for q, a in points]


def finish(canvas: Image.Image) -> Image.Image:
    """Shrinks an oversampled canvas to the size of a scene."""
    return canvas.resize((SIDE, SIDE), Image.Resampling.BOX)


def to_png(picture: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def describe_scene(scene: Scene) -> str:
    """The words that stand for the picture."""
    if scene.is_crowd:
        first = scene.things[0]
        count = len(scene.things)
        look = f"{first.size} {first.colour} {plural(first.shape, count)}"
        return f"{DIGITS[count]} {look}"
    return listed(tuple(f"a {t.look} at the {PLACES[t.place]}" for t in scene.things))
