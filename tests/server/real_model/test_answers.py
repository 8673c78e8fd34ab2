"""From a real file to an answer, in process and over REST."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from anymal.client import Client
from anymal.protocol.responses import Usage
from anymal.serving.assistant import Assistant

KINDS = ("image", "video", "audio", "imu")
QUESTION = "What is it?"


def counts(usage: Usage) -> Usage:
    """Without what earlier questions had left in a cache."""
    details = usage.prompt_tokens_details | {"cached_tokens": 0}
    return usage.model_copy(update={"prompt_tokens_details": details})


def rate_of(kind: str) -> dict[str, Any]:
    return {"imu_rate_hz": 50} if kind == "imu" else {}


@pytest.mark.parametrize("kind", KINDS)
def test_file_to_answer(assistant: Assistant, files: dict[str, Path], kind: str) -> None:
    media: Any = {kind: files[kind], **rate_of(kind)}
    answer = assistant.ask(QUESTION, max_tokens=8, **media)
    details = answer.usage.prompt_tokens_details
    assert details[f"{kind}_tokens"] == 32
    assert answer.usage.prompt_tokens == 32 + details["text_tokens"]
    assert 0 < answer.usage.completion_tokens <= 8
    stream = assistant.ask(QUESTION, max_tokens=8, stream=True, **media)
    assert "".join(stream) == answer.text == stream.answer.text


def test_all_at_once_and_in_memory(assistant: Assistant, files: dict[str, Path]) -> None:
    pixels = np.asarray(Image.open(files["image"]))
    samples, rate_hz = soundfile.read(files["audio"], dtype="float32")
    in_memory = assistant.ask(
        QUESTION, image=pixels, audio=(samples, rate_hz), imu=pd.read_csv(files["imu"]),
        imu_rate_hz=50, max_tokens=8,
    )  # fmt: skip
    from_files = assistant.ask(
        QUESTION, image=files["image"], audio=files["audio"], imu=files["imu"],
        imu_rate_hz=50, max_tokens=8,
    )  # fmt: skip
    assert in_memory.text == from_files.text
    assert counts(in_memory.usage) == counts(from_files.usage)
    assert in_memory.usage.prompt_tokens_details["imu_tokens"] == 32


def test_seed_repeats_a_drawn_answer(assistant: Assistant) -> None:
    drawn = [
        assistant.ask(QUESTION, temperature=2.0, seed=seed, max_tokens=12).text
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("kind", KINDS)
def test_service_answers_as_the_assistant(
    service: Callable[..., httpx.Response],
    assistant: Assistant,
    files: dict[str, Path],
    kind: str,
) -> None:
    media: Any = {kind: files[kind], **rate_of(kind)}
    with Client(base_url="http://unused") as client:
        content = client.message(QUESTION, **media).model_dump(mode="json")["content"]
    body = service(content).json()
    expected = assistant.ask(QUESTION, max_tokens=8, **media)
    assert body["choices"][0]["message"]["content"] == expected.text
    assert counts(Usage.model_validate(body["usage"])) == counts(expected.usage)
    assert body["model"] == "tiny-random"


def test_service_takes_the_other_forms(
    service: Callable[..., httpx.Response], files: dict[str, Path]
) -> None:
    sound = base64.b64encode(files["audio"].read_bytes()).decode()
    motion = base64.b64encode(files["imu"].read_bytes()).decode()
    samples = np.random.default_rng(1).normal(size=(100, 3)).tolist()
    units = {"rate_hz": 50, "acceleration_unit": "g", "rotation_unit": "deg/s"}
    for part in (
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
        {"type": "input_imu", "input_imu": {"data": motion, "format": "csv", **units}},
        {"type": "input_imu", "input_imu": {"samples": samples, **units}},
    ):
        response = service([part, {"type": "text", "text": QUESTION}])
        assert response.status_code == 200, response.text
