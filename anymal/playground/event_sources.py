"""Records of events on one clock, and of media whose numbers are asked for.

Each is a lazy sequence as in `anymal.playground.sources`.
"""

from collections.abc import Callable

import numpy as np

from anymal.errors import DataError
from anymal.playground import measured, motions, sounds
from anymal.playground.clips import to_mp4
from anymal.playground.events import (
    FRAMES_PER_SECOND,
    NOUNS,
    ask_count,
    ask_order,
    draw_order,
    draw_same,
    render_film,
    render_motion,
    render_sound,
)
from anymal.playground.sources import LazyRecords, Record, Split, to_record
from anymal.playground.topics import Part, audio_part, imu_part, video_part

_GROUP = "events"
_SEEN = ("imu", "video")


def order(
    *, split: Split, size: int, seed: int = 0, seen: str = "video", grouped: bool = True
) -> LazyRecords:
    """A flash (or with `seen: imu` a shake) and a beep 0.2 s apart: which came first?

    Args:
        split: Part of every seed.
        size: Number of records.
        seed: Part of every seed.
        seen: The modality of the event beside the beep: video or imu.
        grouped: Whether the two media are put on one clock.
    """
    if seen not in _SEEN:
        raise DataError(f"unknown seen={seen!r}; known: {', '.join(_SEEN)}")

    def make(rng: np.random.Generator, name: str) -> Record:
        events = draw_order(rng, seen)
        question = ask_order(events, rng)
        parts = [_part(key, moments, rng) for key, moments in events.moments.items()]
        return to_record(_shown(parts, rng, grouped=grouped), [question], name)

    name = f"{NOUNS[seen]} and beep"
    return LazyRecords(name=name, split=split, seed=seed, size=size, make=make)


def same(
    *, split: Split, size: int, seed: int = 0, shown: str | None = None, grouped: bool = False
) -> LazyRecords:
    """It flashes and beeps at once, one to four times: how often? Either sense tells.

    Args:
        split: Part of every seed.
        size: Number of records.
        seed: Part of every seed.
        shown: The only modality that is there, video or audio; None is both.
        grouped: Whether the two media are put on one clock.
    """
    if shown not in (None, "video", "audio"):
        raise DataError(f"unknown shown={shown!r}; known: video, audio")

    def make(rng: np.random.Generator, name: str) -> Record:
        events = draw_same(rng)
        question = ask_count(events, rng)
        parts = [
            _part(key, moments, rng)
            for key, moments in events.moments.items()
            if shown in (None, key)
        ]
        enough = [[key] for key in events.moments]
        return to_record(_shown(parts, rng, grouped=grouped), [question], name, enough=enough)

    return LazyRecords(name="flash with beep", split=split, seed=seed, size=size, make=make)


def motion_numbers(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """How long a motion lasts, its peak and its rhythm, in numbers."""

    def make(rng: np.random.Generator, name: str) -> Record:
        motion = measured.draw_motion(rng)
        data = motions.to_csv(measured.render_motion(motion, rng))
        part = imu_part(data, "csv", motions.RATE_HZ, "m/s2")
        return to_record([part], [measured.ask_about_motion(motion, rng)], name)

    return LazyRecords(name="motion numbers", split=split, seed=seed, size=size, make=make)


def sound_numbers(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """How long a sound lasts, in a number, and which of two limits its pitch is above."""

    def make(rng: np.random.Generator, name: str) -> Record:
        sound = measured.draw_sound(rng)
        part = audio_part(sounds.to_wav(measured.render_sound(sound, rng)))
        return to_record([part], [measured.ask_about_sound(sound, rng)], name)

    return LazyRecords(name="sound numbers", split=split, seed=seed, size=size, make=make)


def _part(modality: str, moments: tuple[float, ...], rng: np.random.Generator) -> Part:
    """Events of one modality as a file."""
    makers: dict[str, Callable[[], Part]] = {
        "video": lambda: video_part(to_mp4(render_film(moments, rng), rate=FRAMES_PER_SECOND)),
        "audio": lambda: audio_part(sounds.to_wav(render_sound(moments, rng))),
        "imu": lambda: imu_part(
            motions.to_csv(render_motion(moments, rng)), "csv", motions.RATE_HZ, "m/s2"
        ),
    }
    return makers[modality]()


def _shown(parts: list[Part], rng: np.random.Generator, *, grouped: bool) -> list[Part]:
    """Which medium stands first says nothing."""
    if rng.random() < 0.5:
        parts = parts[::-1]
    return [{**part, "group": _GROUP} for part in parts] if grouped else parts
