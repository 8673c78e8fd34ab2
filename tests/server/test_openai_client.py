"""The stock `openai` client works unchanged."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2  # what the openai package speaks through
import openai
import pytest
from fastapi import FastAPI

MESSAGES: Any = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "input_imu", "input_imu": {"samples": [[0, 0, 9.8]], "rate_hz": 50}},
            {"type": "text", "text": "What is it?"},
        ],
    }
]


@pytest.fixture
def stock(app: FastAPI, make_bridge: Callable[..., Any]) -> Iterator[openai.OpenAI]:
    http = httpx2.Client(transport=make_bridge(app, httpx2))
    with openai.OpenAI(
        base_url="http://anymal/v1", api_key="none", http_client=http, max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def async_stock(app: FastAPI) -> AsyncIterator[openai.AsyncOpenAI]:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
    async with openai.AsyncOpenAI(
        base_url="http://anymal/v1", api_key="none", http_client=http, max_retries=0
    ) as client:
        yield client


def test_answer(stock: openai.OpenAI) -> None:
    answer = stock.chat.completions.create(
        model="anymal-fake", messages=MESSAGES, temperature=0, max_tokens=99, seed=1, n=1
    )
    assert answer.choices[0].message.content == "What is it? +3"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 35
    assert answer._request_id


def test_stream(stock: openai.OpenAI) -> None:
    with stock.chat.completions.create(
        model="anymal-fake",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "What is it? +3"
    assert chunks[-1].usage is not None


async def test_async(async_stock: openai.AsyncOpenAI) -> None:
    answer = await async_stock.chat.completions.create(model="anymal-fake", messages=MESSAGES)
    assert answer.choices[0].message.content == "What is it? +3"


async def test_async_stream(async_stock: openai.AsyncOpenAI) -> None:
    stream = await async_stock.chat.completions.create(
        model="anymal-fake", messages=MESSAGES, stream=True
    )
    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == "What is it? +3"


def test_an_answer_can_be_sent_back(stock: openai.OpenAI) -> None:
    answer = stock.chat.completions.create(model="anymal-fake", messages=MESSAGES)
    turn: Any = answer.choices[0].message
    for own in (turn, turn.model_dump()):
        again = stock.chat.completions.create(
            model="anymal-fake", messages=[*MESSAGES, own, {"role": "user", "content": "And?"}]
        )
        assert again.choices[0].message.content == "And?"


def test_models(stock: openai.OpenAI) -> None:
    assert [model.id for model in stock.models.list()] == ["anymal-fake"]
    assert stock.models.retrieve("anymal-fake").owned_by == "anymal"


def test_errors_are_its_own_classes(stock: openai.OpenAI) -> None:
    def ask(text: str, model: str = "anymal-fake") -> Any:
        messages: Any = [{"role": "user", "content": text}]
        return stock.chat.completions.create(model=model, messages=messages)

    with pytest.raises(openai.BadRequestError) as refused:
        ask("corrupt")
    assert refused.value.code == "media_corrupt"
    assert refused.value.param == "messages"
    assert "half a PNG" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        ask("hello", model="gpt-4o")
    with pytest.raises(openai.InternalServerError):
        ask("boom")


def test_error_in_a_stream_is_raised(stock: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hi # there"}]
    stream = stock.chat.completions.create(model="anymal-fake", messages=messages, stream=True)
    with pytest.raises(openai.APIError, match="the service failed"):
        list(stream)
