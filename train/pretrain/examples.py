"""Signals with known facts, for training the built-in encoders under supervision.

Facts are named slots with a class each; a slot that does not apply to a signal is left out.
Trains nothing.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as Picture

from anymal.playground import clips, motions, scenes, sounds, variation
from anymal.playground.archives import load_activities, load_clothing, load_digits, load_signs
from anymal.playground.recorded import SPEECH_RATE_HZ, WINDOW_SAMPLES
from anymal.playground.words import ACTIVITIES, CLOTHING, COLOURS, DIGITS, PLACES, SHAPES, SIZES
from encoders.signals import Audio, Image, Motion, Signal

Split = Literal["train", "heldout"]
Slots = Mapping[str, int]
_COLOURS = tuple(COLOURS)
_BINS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A signal and its known facts: slot to class."""

    signal: Signal
    slots: Slots


Maker = Callable[[np.random.Generator], Example]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What one encoder learns from.

    Attributes:
        num_classes: Classes of each slot.
        makers: Ways to make an example, with their shares.
    """

    num_classes: Mapping[str, int]
    makers: Mapping[str, tuple[float, Maker]]


def subject(modality: str, data: Path, split: Split) -> Subject:
    """What the encoder of a modality learns from.

    Args:
        modality: "image", "audio" or "imu".
        data: Folder of recordings.
        split: "train" varies the recordings, "heldout" leaves them as they are.
    """
    return {"image": _pictures, "audio": _sounds, "imu": _motions}[modality](data, split)


# --- pictures -----------------------------------------------------------------------------------


def _pictures(data: Path, split: Split) -> Subject:
    hands, clothes = load_signs(data, split), load_clothing(data, split)
    is_train = split == "train"

    def sign(rng: np.random.Generator) -> Example:
        label = int(rng.integers(len(DIGITS)))
        photo = variation.vary_photo(hands.any_of(label, rng), rng if is_train else None)
        return Example(signal=_picture(photo), slots={"sign": label})

    def garment(rng: np.random.Generator) -> Example:
        label = int(rng.integers(len(CLOTHING)))
        photo = variation.vary_product(clothes.any_of(label, rng), rng if is_train else None)
        return Example(signal=_picture(photo), slots={"clothes": label})

    num_classes = {"sign": 10, "clothes": 10, "count": 7, "lone shape": len(SHAPES)}
    num_classes |= {"lone colour": len(COLOURS), "lone x": _BINS, "lone y": _BINS}
    for place in PLACES:
        num_classes |= {
            f"{place} shape": len(SHAPES) + 1,
            f"{place} colour": len(COLOURS) + 1,
            f"{place} size": len(SIZES) + 1,
        }
    return Subject(
        num_classes=num_classes,
        makers={
            "signs": (0.25, sign),
            "clothes": (0.25, garment),
            "scenes": (0.33, _scene),
            "frames": (0.17, _frame),
        },
    )


def _scene(rng: np.random.Generator) -> Example:
    """Every place of a scene: what is there, 0 meaning nothing."""
    scene = scenes.draw_scene(rng)
    slots = {"count": len(scene.things)}
    for place in PLACES:
        slots |= {f"{place} {attribute}": 0 for attribute in ("shape", "colour", "size")}
    for thing in scene.things:
        place = PLACES[thing.place]
        slots[f"{place} shape"] = 1 + SHAPES.index(thing.shape)
        slots[f"{place} colour"] = 1 + _COLOURS.index(thing.colour)
        slots[f"{place} size"] = 1 + SIZES.index(thing.size)
    return Example(signal=_picture(scenes.render_scene(scene, rng)), slots=slots)


def _frame(rng: np.random.Generator) -> Example:
    """A lone shape anywhere, as in the frames of a clip."""
    shape, colour = str(rng.choice(SHAPES)), str(rng.choice(_COLOURS))
    x, y = rng.uniform(0.05, 0.95, 2)
    canvas = scenes.blank_canvas(rng)
    scenes.paint(canvas, shape, colour, float(x), float(y), clips.RADIUS)
    slots = {
        "lone shape": SHAPES.index(shape),
        "lone colour": _COLOURS.index(colour),
        "lone x": int(x * _BINS),
        "lone y": int(y * _BINS),
    }
    return Example(signal=_picture(_as_film(scenes.finish(canvas), rng)), slots=slots)


def _as_film(picture: Picture.Image, rng: np.random.Generator) -> Picture.Image:
    """Films blur colours; a JPEG does so in much the same way."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(70, 96)))
    return Picture.open(buffer).convert("RGB")


def _picture(picture: Picture.Image) -> Image:
    return Image(pixels=np.ascontiguousarray(np.asarray(picture.convert("RGB"))))


# --- sounds -------------------------------------------------------------------------------------

_KINDS = (*sounds.KINDS, "speech")
# The heads look at one window at a time.
_WINDOW_S = 3.0


def _sounds(data: Path, split: Split) -> Subject:
    voices = load_digits(data, split)
    is_train = split == "train"

    def digit(rng: np.random.Generator) -> Example:
        label = int(rng.integers(len(DIGITS)))
        voice = voices.any_of(label, rng)
        samples = variation.vary_speech(voice, SPEECH_RATE_HZ, rng if is_train else None)
        slots = {"kind": _KINDS.index("speech"), "digit": label}
        first_window = samples[: int(_WINDOW_S * SPEECH_RATE_HZ)]
        return Example(signal=Audio(samples=first_window, rate_hz=SPEECH_RATE_HZ), slots=slots)

    return Subject(
        num_classes={
            "kind": len(_KINDS),
            "digit": 10,
            "pitch": len(sounds.PITCHES),
            "tempo": len(sounds.TEMPOS),
            "count": sounds.MAX_BEEPS + 1,
        },
        makers={"digits": (0.65, digit), "sounds": (0.35, _sound)},
    )


def _sound(rng: np.random.Generator) -> Example:
    sound = sounds.draw_sound(rng)
    slots = {"kind": _KINDS.index(sound.kind)}
    if sound.pitch:
        slots["pitch"] = sounds.PITCHES.index(sound.pitch)
    if sound.count:
        slots |= {"count": sound.count, "tempo": sounds.TEMPOS.index(sound.tempo)}
    samples = sounds.render_sound(sound, rng)[: int(_WINDOW_S * sounds.RATE_HZ)]
    return Example(signal=Audio(samples=samples, rate_hz=sounds.RATE_HZ), slots=slots)


# --- motion -------------------------------------------------------------------------------------

_NUM_STEADY = 6  # activities before the first change of posture


def _motions(data: Path, split: Split) -> Subject:
    people = load_activities(data, split)
    is_train = split == "train"
    present = np.ones(6, dtype=bool)

    def activity(rng: np.random.Generator) -> Example:
        # Changes of posture are rare, though not as rare as in a day.
        among = len(ACTIVITIES) if rng.random() < 0.5 else _NUM_STEADY
        label = int(rng.integers(among))
        stretch = people.any_of(label, rng)
        window = variation.vary_motion(stretch, WINDOW_SAMPLES, rng if is_train else None)
        samples = window[:WINDOW_SAMPLES] * np.array([motions.GRAVITY] * 3 + [1.0] * 3, np.float32)
        signal = Motion(samples=samples, rate_hz=motions.RATE_HZ, present=present)
        return Example(signal=signal, slots={"activity": label})

    def phone(rng: np.random.Generator) -> Example:
        motion = motions.draw_motion(rng)
        slots = {"kind": motions.KINDS.index(motion.kind)}
        if motion.pace:
            slots["pace"] = motions.PACES.index(motion.pace)
        samples = motions.render_motion(motion, rng)
        signal = Motion(samples=samples, rate_hz=motions.RATE_HZ, present=present)
        return Example(signal=signal, slots=slots)

    return Subject(
        num_classes={
            "activity": len(ACTIVITIES),
            "kind": len(motions.KINDS),
            "pace": len(motions.PACES),
        },
        makers={"activities": (0.75, activity), "phone": (0.25, phone)},
    )
