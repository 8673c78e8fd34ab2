from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.evaluation.scoring import is_right, read_expected
from anymal.playground import mixed2
from anymal.playground.mixed2 import values_of

# Each with the number of values that either medium takes, and the parts that it shows.
GENERATED = {
    mixed2.image_sound: (4, {"image_url", "input_audio"}),
    mixed2.image_motion: (2, {"image_url", "input_imu"}),
    mixed2.video_sound: (2, {"video_url", "input_audio"}),
}
RECORDED = {
    mixed2.sign_speech: (10, {"image_url", "input_audio"}),
    mixed2.sign_activity: (6, {"image_url", "input_imu"}),
    mixed2.film_speech: (10, {"video_url", "input_audio"}),
}


def check(records: Any, num_values: int, parts: set[str]) -> None:
    """Count: given the value of either medium, yes and no are equally many."""
    assert len(records) % (2 * num_values) == 0
    seen: dict[str, Counter[tuple[int, str]]] = {"first": Counter(), "second": Counter()}
    for record in records:
        first, second = record["meta"]["values"]
        answer = record["meta"]["answer"]
        assert answer == ("yes" if first == second else "no")
        seen["first"][first, answer] += 1
        seen["second"][second, answer] += 1
        content = record["messages"][0]["content"]
        assert {part["type"] for part in content} == parts | {"text"}
        assert is_right(record["messages"][1]["content"], read_expected(record))
    for counts in seen.values():
        assert len(counts) == 2 * num_values
        assert len(set(counts.values())) == 1


@pytest.mark.parametrize("source", GENERATED)
def test_one_generated_medium_says_nothing(source: Callable[..., Any]) -> None:
    num_values, parts = GENERATED[source]
    check(source(split="heldout", size=4 * num_values + 1), num_values, parts)


@pytest.mark.parametrize("source", RECORDED)
def test_one_recorded_medium_says_nothing(source: Callable[..., Any], recordings: Path) -> None:
    num_values, parts = RECORDED[source]
    check(source(data=str(recordings), split="heldout", size=1), num_values, parts)


@pytest.mark.parametrize("num_values", [2, 3, 10])
def test_every_pair_of_different_values_comes_equally_often(num_values: int) -> None:
    size = 2 * num_values * (num_values - 1)
    pairs = Counter(values_of(index, num_values) for index in range(size))
    assert len(pairs) == num_values**2
    unequal = {count for (first, second), count in pairs.items() if first != second}
    assert unequal == {1}


def test_shown_values_are_those_of_the_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    def show(topic: Any, facts: Any, rng: Any) -> dict[str, Any]:
        shown.append(facts)
        return {"type": "image_url"}

    monkeypatch.setattr(mixed2, "render", show)
    for record in mixed2.image_sound(split="heldout", size=8):
        scene, sound = shown
        assert [len(scene.things) - 2, sound.count - 2] == record["meta"]["values"]
        shown.clear()
    for record in mixed2.image_motion(split="heldout", size=8):
        scene, motion = shown
        sides = [scene.things[0].place % 3 // 2, motion.kind == "turning right"]
        assert sides == record["meta"]["values"]
        assert scene.things[0].place % 3 != 1
        shown.clear()
    for record in mixed2.video_sound(split="heldout", size=8):
        clip, sound = shown
        ways = [clip.direction == "down", sound.kind == "falling tone"]
        assert ways == record["meta"]["values"]
        shown.clear()
