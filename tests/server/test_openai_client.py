"""The stock `openai` client works unchanged."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2  # what the openai package speaks through
import openai
import pytest
from fastapi import FastAPI

from server.edge.keys import ANONYMOUS
from server.safety import Checks, Refusal

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


def test_all_that_the_schema_has_and_changes_nothing_is_taken(stock: openai.OpenAI) -> None:
    picture: Any = {"url": "data:image/png;base64,AAAA", "detail": "low"}
    messages: Any = [
        {"role": "system", "content": "Be brief.", "name": "house"},
        {"role": "user", "name": "bob", "content": [{"type": "image_url", "image_url": picture}]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "And?"},
    ]
    raw = stock.chat.completions.with_raw_response.create(
        model="anymal-fake",
        messages=messages,
        seed=-1,
        user="ada",
        store=True,
        service_tier="flex",
        metadata={"run": "7"},
        reasoning_effort="low",
        parallel_tool_calls=False,
        max_completion_tokens=4096,
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
    )
    told = raw.headers["x-anymal-ignored"]
    assert {"user", "store", "messages.name", "messages.content.image_url.detail"} <= set(
        told.split(", ")
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
    assert said == "And?"


def test_an_answer_can_be_sent_back(stock: openai.OpenAI) -> None:
    answer = stock.chat.completions.create(model="anymal-fake", messages=MESSAGES)
    turn: Any = answer.choices[0].message
    for own in (turn, turn.model_dump()):
        again = stock.chat.completions.create(
            model="anymal-fake", messages=[*MESSAGES, own, {"role": "user", "content": "And?"}]
        )
        assert again.choices[0].message.content == "And?"


def test_several_answers_and_probabilities(stock: openai.OpenAI) -> None:
    answer = stock.chat.completions.create(
        model="anymal-fake",
        messages=MESSAGES,
        n=2,
        seed=3,
        logprobs=True,
        top_logprobs=2,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        max_completion_tokens=50,
        response_format={"type": "text"},
        extra_body={"top_k": 5, "repetition_penalty": 1.2, "ignore_eos": True},
    )
    assert [choice.message.content for choice in answer.choices] == ["What is it? +3"] * 2
    assert answer.choices[1].logprobs is not None
    assert answer.choices[1].logprobs.content is not None
    first = answer.choices[1].logprobs.content[0]
    assert (first.token, first.bytes, len(first.top_logprobs)) == ("W", [87], 2)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.usage.prompt_tokens_details.to_dict()["image_tokens"] == 32


async def test_async_stream_of_several_answers(async_stock: openai.AsyncOpenAI) -> None:
    stream = await async_stock.chat.completions.create(
        model="anymal-fake", messages=MESSAGES, n=3, stream=True, logprobs=True
    )
    said, tokens = ["", "", ""], ["", "", ""]
    async for chunk in stream:
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            if choice.logprobs and choice.logprobs.content:
                tokens[choice.index] += "".join(each.token for each in choice.logprobs.content)
    assert said == tokens == ["What is it? +3"] * 3


def test_a_refusal_is_its_own_field(stock: openai.OpenAI, app: FastAPI) -> None:
    app.state.worker._checks = Checks([Quiet()])
    answer = stock.chat.completions.create(model="anymal-fake", messages=MESSAGES)
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.choices[0].message.refusal == "Quiet: say nothing"
    with stock.chat.completions.create(
        model="anymal-fake", messages=MESSAGES, stream=True
    ) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream]
    assert "Quiet: say nothing" in [delta.refusal for delta in deltas]


class Quiet:
    def sentence(self, text: str) -> Refusal:
        return Refusal(check="Quiet", message="say nothing")


def test_models(stock: openai.OpenAI) -> None:
    assert [model.id for model in stock.models.list()] == ["anymal-fake"]
    assert stock.models.retrieve("anymal-fake").owned_by == "anymal"


def test_errors_are_its_own_classes(stock: openai.OpenAI) -> None:
    def ask(content: Any, model: str = "anymal-fake", **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": content}]
        return stock.chat.completions.create(model=model, messages=messages, **more)

    with pytest.raises(openai.BadRequestError) as refused:
        ask("corrupt")
    assert refused.value.code == "media_corrupt"
    assert refused.value.param == "messages"
    assert "half a PNG" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        ask("hello", model="gpt-4o")
    with pytest.raises(openai.InternalServerError):
        ask("boom")
    with pytest.raises(openai.BadRequestError) as no_json:
        ask("hello", response_format={"type": "json_object"})
    assert no_json.value.param == "response_format"
    with pytest.raises(openai.BadRequestError) as no_tools:
        ask("hello", tools=[{"type": "function", "function": {"name": "f"}}])
    assert no_tools.value.code == "unsupported_parameter"
    embeds = {"type": "prompt_embeds", "prompt_embeds": {"data": "AAAA"}}
    with pytest.raises(openai.PermissionDeniedError):
        ask([embeds])


def test_error_in_a_stream_is_raised(stock: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hi # there"}]
    stream = stock.chat.completions.create(model="anymal-fake", messages=messages, stream=True)
    with pytest.raises(openai.APIError, match="the service failed"):
        list(stream)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"api_key": "sesame"}, openai.AuthenticationError),
        ({"max_body_bytes": 10}, openai.APIStatusError),
        ({"max_requests": 1, "request_seconds": 0.01}, openai.InternalServerError),
    ],
)
def test_errors_of_the_edge_are_its_own_classes(
    make_app: Callable[..., FastAPI],
    make_bridge: Callable[..., Any],
    settings: Any,
    kind: type[openai.APIStatusError],
) -> None:
    app = make_app(default_tokens=10**9, max_tokens=10**9, **settings)
    http = httpx2.Client(transport=make_bridge(app, httpx2))
    messages: Any = [{"role": "user", "content": "forever"}]
    with (
        openai.OpenAI(
            base_url="http://anymal/v1", api_key="none", http_client=http, max_retries=0
        ) as stock,
        pytest.raises(kind) as refused,
    ):
        stock.chat.completions.create(model="anymal-fake", messages=messages)
    assert refused.value.status_code in (401, 413, 504)


def test_a_full_house_is_a_rate_limit(app: FastAPI, stock: openai.OpenAI) -> None:
    places = app.state.worker._places
    with (
        places.admit(ANONYMOUS, places.number),
        pytest.raises(openai.RateLimitError) as refused,
    ):
        stock.chat.completions.create(model="anymal-fake", messages=MESSAGES)
    assert refused.value.code == "queue_full"
