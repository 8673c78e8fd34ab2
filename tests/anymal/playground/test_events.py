"""Events and numbers: what is asked of a record is in its media."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.scoring import is_right, read_expected
from anymal.intake.facts import told
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, modality_of, read_medium
from anymal.playground import event_sources
from anymal.playground.event_sources import motion_numbers, order, same, sound_numbers
from anymal.playground.events import APART_S, NOUNS
from anymal.protocol.conversation import TextPart, read_conversation
from encoders.signals import Audio, Motion, Video

LIMITS = Limits()
SOURCES: dict[str, Any] = {
    "flash": lambda **args: order(**args),
    "shake": lambda **args: order(seen="imu", **args),
    "same": same,
    "motion": motion_numbers,
    "sound": sound_numbers,
}


def signals_of(record: dict[str, Any]) -> dict[str, Any]:
    """The decoded media of a record, by modality."""
    found = {}
    for part in read_conversation(record).messages[0].parts:
        if isinstance(part, TextPart):
            continue
        name = modality_of(part)  # type: ignore[arg-type]
        medium = read_medium(part, limits=LIMITS, base_dir=None)  # type: ignore[arg-type]
        hints = {"num_frames": 24} if name == "video" else {}
        found[name] = MODALITIES[name].decode(medium, LIMITS, **hints)
    return found


def onsets(signal: Any) -> list[float]:
    """When something begins, in seconds: louder, stronger or yellower than the ground."""
    if isinstance(signal, Audio):
        return _begins(np.abs(signal.samples) > 0.1, signal.rate_hz, quiet_s=0.1)
    if isinstance(signal, Motion):
        size = np.abs(signal.samples[:, :3] - (0, 0, 9.80665)).max(axis=1)
        return _begins(size > 2.0, signal.rate_hz, quiet_s=0.15)
    assert isinstance(signal, Video)
    blue = signal.frames[:, 48, 48, 2].astype(int)
    starts = np.flatnonzero((blue[1:] < 150) & (blue[:-1] >= 150)) + 1
    return [float(signal.times_s[start]) for start in starts]


def _begins(is_loud: np.ndarray, rate_hz: float, *, quiet_s: float) -> list[float]:
    loud = np.flatnonzero(is_loud) / rate_hz
    return [float(t) for n, t in enumerate(loud) if n == 0 or t - loud[n - 1] > quiet_s]


@pytest.mark.parametrize("name", SOURCES)
def test_the_given_answer_is_right_by_its_own_choices(name: str) -> None:
    for record in SOURCES[name](split="train", size=8):
        expected = read_expected(record)
        assert is_right(record["messages"][-1]["content"], expected)
        assert not any(
            is_right(f"It is {other}.", expected)
            for other in expected.choices
            if other != expected.answer
        )


@pytest.mark.parametrize("seen", ["video", "imu"])
def test_the_first_event_begins_first_in_the_media(seen: str) -> None:
    firsts = []
    for record in order(split="heldout", size=8, seen=seen):
        found = {name: onsets(signal) for name, signal in signals_of(record).items()}
        assert {len(each) for each in found.values()} == {1}
        (one,), (beep,) = found[seen], found["audio"]
        assert abs(one - beep) == pytest.approx(APART_S, abs=0.03)
        first = NOUNS[seen] if one < beep else "beep"
        firsts.append(first)
        answer = record["messages"][-1]["content"]
        later = {NOUNS[seen], "beep"} - {first}
        assert f"the {first} came" in answer.lower()
        assert f"the {next(iter(later))} came" not in answer.lower()
    assert 0 < firsts.count("beep") < 8


def test_media_share_a_clock_if_asked() -> None:
    for grouped in (True, False):
        (record,) = order(split="train", size=1, grouped=grouped)
        parts = record["messages"][0]["content"][:2]
        assert [part.get("group") for part in parts] == ["events" if grouped else None] * 2


def test_both_senses_tell_how_often() -> None:
    words: Sequence[str] = ("one", "two", "three", "four")
    for record in same(split="train", size=6):
        counts = {len(onsets(signal)) for signal in signals_of(record).values()}
        assert counts == {1 + words.index(record["meta"]["answer"])}
        assert record["meta"]["enough"] == [["video"], ["audio"]]
    (alone,) = same(split="train", size=1, shown="audio")
    assert list(signals_of(alone)) == ["audio"]


@pytest.mark.parametrize("make", [motion_numbers, sound_numbers])
def test_what_is_measured_is_what_is_asked(make: Any) -> None:
    """The right number, rounded, stands in the facts, and no other choice of its kind does."""
    for record in make(split="heldout", size=10):
        (signal,) = signals_of(record).values()
        facts, kind = told(signal, name="m"), record["meta"]["task"].split()[1]
        found = {
            "duration": facts.split(" s")[0],
            "peak": facts.partition("peak ")[2].split()[0] if "peak" in facts else "nan",
            "rhythm": facts.partition("dominant ")[2].split()[0] if "dominant" in facts else "nan",
            "pitch": facts.partition("pitch ")[2].split()[0] if "pitch" in facts else "nan",
        }
        tolerance = {"duration": 0.05, "peak": 0.1, "rhythm": 0.35, "pitch": 5.0}[kind]
        answer = float(record["meta"]["answer"])
        assert float(found[kind]) == pytest.approx(answer, abs=tolerance)


@pytest.mark.parametrize("args", [{"seen": "image"}])
def test_unknown_events_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="known: imu, video"):
        order(split="train", size=1, **args)
    with pytest.raises(DataError, match="known: video, audio"):
        event_sources.same(split="train", size=1, shown="imu")
