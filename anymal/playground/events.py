"""Events: a flash, a shake and a beep at known moments, in a film, a motion and a sound.

Facts first; files and questions follow from them. All media of one record begin together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anymal.playground import motions, sounds
from anymal.playground.question import Question, ask, ask_whether
from anymal.playground.scenes import blank_canvas, finish, paint
from anymal.playground.words import DIGITS, how_many

LENGTH_S = 2.4
FRAMES_PER_SECOND = 10
APART_S = 0.2
FIRST_S, LAST_S = 0.4, 1.8  # between which events begin
NOUNS = {"video": "flash", "imu": "shake", "audio": "beep"}
MAX_TIMES = 4

_FLASH_S, _SHAKE_S, _BEEP_S = 0.2, 0.2, 0.12
_SHAKE_HZ = 10.0
_EVERY_S = 0.4  # between two events that are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What happens.

    Attributes:
        moments: When events begin, in seconds, by modality.
    """

    moments: dict[str, tuple[float, ...]]

    @property
    def first(self) -> str:
        """The modality of the first of all events."""
        return min(self.moments, key=lambda name: self.moments[name][0])


def draw_order(rng: np.random.Generator, seen: str) -> Events:
    """Draw one event of a modality and one beep, `APART_S` apart, either of them first."""
    places = round((LAST_S - FIRST_S - APART_S) * FRAMES_PER_SECOND)
    begin = FIRST_S + int(rng.integers(places + 1)) / FRAMES_PER_SECOND
    moments = [(begin,), (begin + APART_S,)]
    if rng.random() < 0.5:
        moments.reverse()
    return Events(moments={seen: moments[0], "audio": moments[1]})


def draw_same(rng: np.random.Generator) -> Events:
    """Draw one to four moments at each of which it flashes and beeps at once."""
    count = int(rng.integers(1, MAX_TIMES + 1))
    begin = FIRST_S + round(rng.uniform(0, LAST_S - FIRST_S - _EVERY_S * (count - 1)), 1)
    moments = tuple(begin + _EVERY_S * number for number in range(count))
    return Events(moments={"video": moments, "audio": moments})


def render_film(moments: tuple[float, ...], rng: np.random.Generator) -> list[Image.Image]:
    """A light ground on which a yellow disc shows for two frames at each moment."""
    seed = int(rng.integers(2**31))
    frames = []
    for number in range(round(LENGTH_S * FRAMES_PER_SECOND)):
        canvas = blank_canvas(np.random.default_rng(seed))
        time = number / FRAMES_PER_SECOND
        if any(-1e-6 < time - moment < _FLASH_S - 1e-6 for moment in moments):
            paint(canvas, "circle", "yellow", 0.5, 0.5, 0.4)
        frames.append(finish(canvas))
    return frames


def render_sound(moments: tuple[float, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A quiet hiss with a tone of 0.12 s at each moment: [N] float32 at `sounds.RATE_HZ`."""
    num_samples = round(LENGTH_S * sounds.RATE_HZ)
    wave = rng.normal(size=num_samples) * 10 ** rng.uniform(-4, -2.5)
    pitch, size = rng.uniform(500, 1500), 10 ** rng.uniform(-0.7, -0.1)
    time = np.arange(round(_BEEP_S * sounds.RATE_HZ)) / sounds.RATE_HZ
    for moment in moments:
        start = round(moment * sounds.RATE_HZ)
        wave[start : start + len(time)] += size * np.sin(2 * np.pi * pitch * time)
    return np.asarray(np.clip(wave, -1, 1), dtype=np.float32)


def render_motion(moments: tuple[float, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A phone that lies still and is shaken for 0.2 s: [N, 6] float32 at `motions.RATE_HZ`."""
    num_samples = round(LENGTH_S * motions.RATE_HZ)
    samples = np.zeros((num_samples, 6))
    samples[:, 2] = motions.GRAVITY
    time = np.arange(round(_SHAKE_S * motions.RATE_HZ)) / motions.RATE_HZ
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    for moment in moments:
        start = round(moment * motions.RATE_HZ)
        wave = rng.uniform(12, 22) * np.cos(2 * np.pi * _SHAKE_HZ * time)
        samples[start : start + len(time), :3] += wave[:, None] * axis
    noise = np.array([0.03] * 3 + [0.01] * 3)
    noisy = samples + rng.normal(size=samples.shape) * noise
    return np.asarray(noisy, dtype=np.float32)


def ask_order(events: Events, rng: np.random.Generator) -> Question:
    """Which of two events came first."""
    one, other = (NOUNS[name] for name in events.moments)
    if rng.random() < 0.5:
        one, other = other, one
    first = NOUNS[events.first]
    if rng.random() < 0.5:
        phrasings = (
            f"Did the {one} come before the {other}?",
            f"Was the {one} earlier than the {other}?",
        )
        later = other if first == one else one
        statement = f"the {first} came before the {later}"
        return ask_whether(rng, phrasings, first == one, statement, task="events before")
    phrasings = (
        f"Which came first, the {one} or the {other}?",
        f"What was first, the {one} or the {other}?",
    )
    return ask(
        rng,
        phrasings,
        f"The {first} came first.",
        task="events first",
        expected=first,
        choices=tuple(sorted((one, other))),
    )


def ask_count(events: Events, rng: np.random.Generator) -> Question:
    """How often it flashed and beeped at once, which either sense alone tells."""
    count = len(next(iter(events.moments.values())))
    phrasings = ("How many times did it happen?", "How often did it happen?", "Count the events.")
    return ask(
        rng,
        phrasings,
        how_many(count, "event"),
        task="events count",
        expected=DIGITS[count],
        choices=DIGITS[1 : MAX_TIMES + 1],
    )
