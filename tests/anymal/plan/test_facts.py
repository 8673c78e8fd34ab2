"""Measured words are planned for, apart from soft tokens and other text."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from anymal.intake.facts import told
from anymal.modality import MOST_FACTS
from anymal.plan.device import Device
from anymal.plan.run import measure_parts, plan_recipe
from anymal.recipe.schema import Recipe
from encoders.signals import Audio, Motion, Video
from tests import tiny

CARD = Device(type="cpu", memory=2**40)


def test_a_plan_has_room_for_them(checkpoints: SimpleNamespace) -> None:
    def planned(**facts: bool) -> Any:
        model = tiny.model_section(checkpoints, ("video", "audio", "imu"))
        for name, has in facts.items():
            model["modalities"][name]["facts"] = has
        stage = {"name": "a", "kind": "align", "data": [{"source": "m:f"}], "steps": 9}
        stage |= {"batch_size": 1, "lr": 1.0}
        recipe = Recipe.model_validate({"run_dir": "r", "model": model, "stages": [stage]})
        (found,) = plan_recipe(recipe, measure_parts(recipe.model), CARD, text_tokens=10).stages
        return found

    plain, measured = planned(), planned(audio=True, imu=True)
    assert (plain.facts_tokens, plain.sample_tokens) == (0, 50)
    assert measured.facts_tokens == MOST_FACTS["imu"]
    assert measured.sample_tokens == 50 + MOST_FACTS["imu"]
    assert measured.total > plain.total


def test_no_facts_are_longer() -> None:
    """The longest that the limits of media allow; see `anymal.media.limits`."""
    wave = np.sin(2 * np.pi * 1999 * np.arange(800) / 768_000) * 1e-6
    loud = told(Audio(samples=wave.astype(np.float32), rate_hz=768_000), name="a")
    assert "pitch 1999 to 1999 Hz" in loud
    assert len(loud) + len("600") <= MOST_FACTS["audio"]
    samples = np.full((64, 6), 1154.0)  # 1999 m/s2
    samples[::2] = -1000.0
    motion = Motion(
        samples=samples.astype(np.float32), rate_hz=10_000.0, present=np.ones(6, np.bool_)
    )
    assert len(told(motion, name="m")) + 2 * len("21600") <= MOST_FACTS["imu"]
    film = Video(frames=np.zeros((1, 1, 1, 3), np.uint8), times_s=np.zeros(1), duration_s=600.0)
    assert len(told(film, name="v")) <= MOST_FACTS["video"]
