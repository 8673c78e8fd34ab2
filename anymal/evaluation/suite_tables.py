"""The tables of the suites: each task's source, what is asked, and what is to be reached.

Does not open records; `suites.py` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A task of the tiny suite before its records are opened.

    Attributes:
        source: `module:function`, as in recipes.
        note: What is asked, about what.
        target: Accuracy to reach, in percent.
        reference: Accuracy of a plain supervised network, in percent.
        is_drawn: Whether records are drawn at random, as many as wanted; else they are files.
        has_controls: Whether blank and swapped media make sense.
        options: Of the source, besides split and seed.
    """

    source: str
    note: str
    target: float | None = None
    reference: float | None = None
    is_drawn: bool = True
    has_controls: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


def _recorded(name: str, note: str, **figures: Any) -> Entry:
    """A task on recordings."""
    return Entry(source=f"anymal.playground.recorded:{name}", note=note, **figures)


def _generated(name: str, note: str, **figures: Any) -> Entry:
    """A task on generated media."""
    return Entry(source=f"anymal.playground.sources:{name}", note=note, **figures)


PLAYGROUND: Mapping[str, Entry] = {
    "scenes": _generated("scenes", "generated images", target=95),
    "clips": _generated("clips", "generated videos", target=95),
    "sounds": _generated("sounds", "generated sounds", target=95),
    "motions": _generated("motions", "generated motion recordings", target=95),
    "mixed": _generated("mixed", "two generated media, compared"),
    "later_turns": _generated("later_turns", "a second generated medium, in a later turn"),
}

RECORDED: Mapping[str, Entry] = {
    "digits": _recorded(
        "digits",
        "spoken digits: other takes of the trained speakers (target: of an unheard one)",
        target=89,
        reference=94,
        is_drawn=False,
    ),
    "activities": _recorded(
        "activities",
        "phone motion: people who were not trained on",
        target=88,
        reference=93,
        is_drawn=False,
    ),
    "signs": _recorded(
        "signs", "hand signs: other photos", target=93, reference=98, is_drawn=False
    ),
    "clothing": _recorded(
        "clothing", "clothing: other photos", target=79, reference=84, is_drawn=False
    ),
    "sign_clips": _recorded("sign_clips", "clips of three hand signs: their order", target=80),
    "sign_and_speech": _recorded(
        "sign_and_speech", "a hand sign and a spoken digit: do they match?", target=85
    ),
    "larger_digit": _recorded("larger_digit", "a hand sign and a spoken digit: which is larger?"),
}


def _refusing(name: str, note: str, **figures: Any) -> Entry:
    """A task about what is to be refused, or not; right whatever the medium holds."""
    source = f"anymal.playground.refused_records:{name}"
    return Entry(source=source, note=note, has_controls=False, **figures)


REFUSALS: Mapping[str, Entry] = {
    "refused_absent": _refusing("refused_absent", "a medium that did not come", target=95),
    "refused_kind": _refusing("refused_kind", "another kind of medium than came", target=95),
    "refused_outside": _refusing(
        "refused_outside", "the rest of the world, in words never trained on", target=95
    ),
    "false_refusals": _refusing(
        "false_refusals",
        "questions of every kind that have to be answered: share that is not refused",
        target=99,
    ),
}


# Whom the recipes of `train/recipes/laptop` leave out.
_UNHEARD = {"unheard": "theo"}
# By `train/recipes/laptop`, which are not about refusals.
LAPTOP_RECORDED: Mapping[str, Entry] = {
    "digits": replace(
        RECORDED["digits"],
        note="spoken digits of a speaker who was never heard",
        target=98,
        options=_UNHEARD,
    ),
    "activities": replace(RECORDED["activities"], target=93),
    "signs": replace(RECORDED["signs"], target=97),
    "clothing": replace(RECORDED["clothing"], target=82),
    "sign_clips": replace(RECORDED["sign_clips"], target=88),
    "sign_and_speech": replace(RECORDED["sign_and_speech"], target=95, options=_UNHEARD),
    "larger_digit": replace(RECORDED["larger_digit"], target=90, options=_UNHEARD),
}


def _mixed2(name: str, note: str) -> Entry:
    """A task of the benchmark of two media."""
    return Entry(source=f"anymal.playground.mixed2:{name}", note=note)


MIXED2: Mapping[str, Entry] = {
    "mixed2_image_sound": _mixed2("image_sound", "as many shapes as beeps?"),
    "mixed2_image_motion": _mixed2("image_motion", "a shape's side and a turn: the same?"),
    "mixed2_video_sound": _mixed2("video_sound", "a shape's way and a tone's: the same?"),
}

MIXED2_RECORDED: Mapping[str, Entry] = {
    "mixed2_sign_speech": _mixed2("sign_speech", "a hand sign and a spoken digit: the same?"),
    "mixed2_sign_activity": _mixed2("sign_activity", "a hand sign for what a person does?"),
    "mixed2_film_speech": _mixed2("film_speech", "the first hand sign and a digit: the same?"),
}
