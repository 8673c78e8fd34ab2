"""A tiny model with a clock, and media that it takes."""

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from anymal.llm.packing import allow_packing
from anymal.playground.clips import to_mp4
from anymal.playground.events import render_film, render_motion, render_sound
from anymal.playground.motions import to_csv
from anymal.playground.sounds import to_wav
from anymal.playground.topics import audio_part, imu_part, video_part
from anymal.sample import Sample
from tests import tiny
from tests.anymal.intake.grouped import Part, answered, conversation

if TYPE_CHECKING:
    from anymal.assemble import Assembled


@pytest.fixture(scope="session")
def model(checkpoints: SimpleNamespace) -> "Assembled":
    """Of films, sounds and motions, with a clock of half a second; motions are measured."""
    from anymal.assemble import build
    from anymal.recipe.schema import ModelRecipe

    section = tiny.model_section(checkpoints, ("image", "video", "audio", "imu"))
    for name, modality in section["modalities"].items():
        modality |= {"prefix": f"{name}:", "facts": name == "imu"}
    torch.manual_seed(0)
    assembled = build(ModelRecipe.model_validate(section | {"clock": {"window_s": 0.5}}))
    allow_packing(assembled.model.llm)
    return assembled


@pytest.fixture(scope="session")
def parts() -> dict[str, Part]:
    rng = np.random.default_rng(0)
    return {
        "video": video_part(to_mp4(render_film((1.0,), rng), rate=10)),  # 2.4 s
        "audio": audio_part(to_wav(render_sound((0.4,), rng)[:16_000])),  # 1 s
        "imu": imu_part(to_csv(render_motion((0.2,), rng)[:64]), "csv", 50, "m/s2"),  # 1.28 s
    }


@pytest.fixture(scope="session")
def samples(model: "Assembled", parts: dict[str, Part]) -> list[Sample]:
    """In and out of groups, one medium in several."""
    records = [
        conversation(*parts.values()),
        conversation(parts["audio"], group=None),
        conversation(parts["imu"], parts["audio"], imu={"name": "g", "start_s": 0.3}),
        conversation(parts["audio"], parts["audio"]),
        conversation(*parts.values()),
    ]
    return [model.processor(answered(record)) for record in records]
