"""Sounds: tones that stay, rise or fall, beeps to count, and noise.

Facts first; the waveform, its description and its questions follow from them. Files are WAV.
"""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from anymal.playground.question import Question, ask
from anymal.playground.words import DIGITS, how_many

RATE_HZ = 16_000
KINDS = ("steady tone", "rising tone", "falling tone", "beeps", "noise")
PITCHES = ("low", "high")
TEMPOS = ("slow", "fast")
MAX_BEEPS = 5

_PITCH_HZ = {"low": (220.0, 380.0), "high": (1000.0, 1800.0)}
_GAP_S = {"fast": 0.1, "slow": 0.38}
_BEEP_S = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What is heard; pitch is empty for noise and glides, tempo and count only for beeps."""

    kind: str
    pitch: str = ""
    tempo: str = ""
    count: int = 0


def draw_sound(rng: np.random.Generator) -> Sound:
    """Draws the facts of one sound."""
    kind = str(rng.choice(KINDS, p=[0.2, 0.15, 0.15, 0.4, 0.1]))
    if kind == "steady tone":
        return Sound(kind=kind, pitch=str(rng.choice(PITCHES)))
    if kind == "beeps":
        return Sound(
            kind=kind,
            pitch=str(rng.choice(PITCHES)),
            tempo=str(rng.choice(TEMPOS)),
            count=int(rng.integers(2, MAX_BEEPS + 1)),
        )
    return Sound(kind=kind)


def render_sound(sound: Sound, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthesises the waveform at RATE_HZ: [N] float32 in [-1, 1]."""
    lead = np.zeros(int(rng.uniform(0.02, 0.25) * RATE_HZ))
    wave = np.concatenate([lead, _body(sound, rng), lead[: len(lead) // 2]])
    hiss = rng.normal(size=len(wave)) * 10 ** rng.uniform(-4, -2.3)
    wave = wave * 10 ** rng.uniform(-0.8, -0.1) + hiss
    return np.clip(wave, -1, 1).astype(np.float32)


def _body(sound: Sound, rng: np.random.Generator) -> NDArray[np.float64]:
    """The sound without its lead-in."""
    if sound.kind == "noise":
        return rng.normal(size=int(rng.uniform(0.8, 2.0) * RATE_HZ)) * 0.3
    if sound.kind == "beeps":
        frequency = rng.uniform(*_PITCH_HZ[sound.pitch])
        beep = _tone(np.full(int(_BEEP_S * RATE_HZ), frequency))
        gap = np.zeros(int(_GAP_S[sound.tempo] * rng.uniform(0.9, 1.15) * RATE_HZ))
        return np.concatenate([np.concatenate([beep, gap])] * sound.count)
    num_samples = int(rng.uniform(0.8, 2.0) * RATE_HZ)
    if sound.kind == "steady tone":
        return _tone(np.full(num_samples, rng.uniform(*_PITCH_HZ[sound.pitch])))
    low, high = rng.uniform(250, 500), rng.uniform(1000, 1800)
    ends = (low, high) if sound.kind == "rising tone" else (high, low)
    return _tone(np.geomspace(*ends, num_samples))


def _tone(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tone with one overtone whose frequency may glide; soft edges avoid clicks."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / RATE_HZ
    wave = np.sin(phase) + 0.3 * np.sin(2 * phase)
    edge = min(len(wave) // 4, int(0.01 * RATE_HZ))
    ramp = np.linspace(0, 1, edge)
    wave[:edge] *= ramp
    wave[-edge:] *= ramp[::-1]
    return np.asarray(wave / np.abs(wave).max(), dtype=np.float64)


def to_wav(samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> bytes:
    """The waveform as the bytes of a 16-bit WAV file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def describe_sound(sound: Sound) -> str:
    """The words that stand for the sound."""
    if sound.kind == "beeps":
        return f"{DIGITS[sound.count]} {sound.tempo} {sound.pitch} beeps"
    if sound.kind == "steady tone":
        return f"a steady {sound.pitch} tone"
    return "noise" if sound.kind == "noise" else f"a {sound.kind}"


_DESCRIBE = (
    "Describe the sound.",
    "What do you hear?",
    "What is this sound?",
    "What kind of sound is this?",
    "What can be heard in the recording?",
)


def ask_about_sound(sound: Sound, rng: np.random.Generator) -> Question:
    """One question about the sound."""
    if sound.kind == "beeps" and rng.random() < 0.8:
        return _ask_about_beeps(sound, rng)
    if sound.kind == "steady tone" and rng.random() < 0.5:
        return _ask_pitch(sound, "tone", "is", rng)
    if sound.kind in ("rising tone", "falling tone") and rng.random() < 0.6:
        way = sound.kind.split()[0]
        phrasings = (
            "Is the tone rising or falling?",
            "Does the pitch rise or fall?",
            "How does the pitch change?",
        )
        answer = f"The tone is {way}."
        return ask(
            rng,
            phrasings,
            answer,
            task="sound glide",
            expected=way,
            choices=("rising", "falling"),
        )
    return caption_sound(sound, rng)


def caption_sound(sound: Sound, rng: np.random.Generator) -> Question:
    """Asks what is heard."""
    return ask(
        rng,
        _DESCRIBE,
        f"You hear {describe_sound(sound)}.",
        task="sound kind",
        expected="beeps" if sound.kind == "beeps" else sound.kind.split()[0],
        choices=("steady", "rising", "falling", "beeps", "noise"),
    )


def _ask_about_beeps(sound: Sound, rng: np.random.Generator) -> Question:
    """Count, tempo or pitch of the beeps."""
    phrasings: tuple[str, ...]
    pick = rng.random()
    if pick < 0.5:
        phrasings = (
            "How many beeps are there?",
            "How many beeps do you hear?",
            "How many times does it beep?",
            "Count the beeps.",
        )
        return ask(
            rng,
            phrasings,
            how_many(sound.count, "beep"),
            task="sound count",
            expected=DIGITS[sound.count],
            choices=DIGITS[2 : MAX_BEEPS + 1],
        )
    if pick < 0.75:
        phrasings = (
            "Are the beeps slow or fast?",
            "What is the tempo of the beeps?",
            "How fast are the beeps?",
        )
        answer = f"The beeps are {sound.tempo}."
        return ask(rng, phrasings, answer, task="sound tempo", expected=sound.tempo, choices=TEMPOS)
    return _ask_pitch(sound, "beeps", "are", rng)


def _ask_pitch(sound: Sound, noun: str, verb: str, rng: np.random.Generator) -> Question:
    """High or low."""
    phrasings = (
        f"{verb.capitalize()} the {noun} high or low?",
        f"What is the pitch of the {noun}?",
        "Is the pitch high or low?",
    )
    answer = f"The {noun} {verb} {sound.pitch}."
    return ask(rng, phrasings, answer, task="sound pitch", expected=sound.pitch, choices=PITCHES)
