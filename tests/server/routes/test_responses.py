"""OpenAI's Responses API, as its stock client speaks it and as others send it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2  # what the openai package speaks through
import openai
import pytest
from fastapi import FastAPI

from server.safety import Checks, Refusal

RESPONSES = "/v1/responses"
PNG = "data:image/png;base64,AAAA"
USER = {"role": "user", "content": "And now?"}
ALL_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 3,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
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


def question(*parts: Any, text: str = "What is it?") -> Any:
    return {"role": "user", "content": [*parts, {"type": "input_text", "text": text}]}


def image(**more: Any) -> dict[str, Any]:
    return {"type": "input_image", "image_url": PNG, "detail": "low", **more}


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    events = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def test_answer(stock: openai.OpenAI, engine: Any) -> None:
    film: Any = {"type": "input_file", "filename": "a.mp4", "file_data": "AAAA"}
    sound: Any = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    motion: Any = {"type": "input_imu", "input_imu": {"samples": [[0, 0, 9.8]], "rate_hz": 50}}
    answer = stock.responses.create(
        model="anymal-fake",
        instructions="Be brief.",
        input=[question(image(), film, sound, motion)],
        max_output_tokens=99,
        temperature=0.5,
        top_p=0.9,
        store=False,
        metadata={"run": "7"},
    )
    assert answer.output_text == "What is it? +4"
    assert (answer.status, answer.model, answer.error) == ("completed", "anymal-fake", None)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (35, 14)
    sampling = engine.last_sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (99, 0.5, 0.9)
    assert openai.types.responses.Response.model_validate(answer.to_dict())


def test_an_answer_can_be_sent_back_even_to_a_strict_service(
    make_http: Callable[..., httpx.Client],
) -> None:
    with make_http(strict=True) as http:
        first = http.post(RESPONSES, json={"input": "Hello"}).json()
        talk = [{"role": "user", "content": "Hello"}, *first["output"], USER]
        answer = http.post(RESPONSES, json={"input": talk})
    assert answer.json()["output"][0]["content"][0]["text"] == "And now?"
    assert "x-anymal-ignored" not in answer.headers


def test_stream(stock: openai.OpenAI) -> None:
    with stock.responses.create(model="anymal-fake", input="Hi!", stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events] == ALL_EVENTS
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Hi!"
    assert last.response.usage is not None


def test_stream_helper_of_the_stock_client(stock: openai.OpenAI) -> None:
    with stock.responses.stream(model="anymal-fake", input=[question(image())]) as stream:
        said = [event.delta for event in stream if event.type == "response.output_text.delta"]
        whole = stream.get_final_response()
    assert "".join(said) == whole.output_text == "What is it? +1"


async def test_async(async_stock: openai.AsyncOpenAI) -> None:
    answer = await async_stock.responses.create(model="anymal-fake", input="Hello")
    assert answer.output_text == "Hello"
    stream = await async_stock.responses.create(model="anymal-fake", input="Hi!", stream=True)
    assert [event.type async for event in stream] == ALL_EVENTS


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_cut_is_incomplete(http: httpx.Client, stream: bool) -> None:
    response = http.post(
        RESPONSES, json={"input": "forever", "max_output_tokens": 3, "stream": stream}
    )
    answer = events_of(response)[-1]["response"] if stream else response.json()
    assert answer["status"] == answer["output"][0]["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answer["output"][0]["content"][0]["text"] == "for"
    if stream:
        assert events_of(response)[-1]["type"] == "response.incomplete"


class Quiet:
    def sentence(self, text: str) -> Refusal:
        return Refusal(check="Quiet", message="say nothing")


def test_a_refusal_is_a_part_of_its_own(
    stock: openai.OpenAI, http: httpx.Client, app: FastAPI
) -> None:
    app.state.worker._checks = Checks([Quiet()])
    answer = stock.responses.create(model="anymal-fake", input="Hello")
    assert answer.output[0].content[1].refusal == "Quiet: say nothing"  # type: ignore[union-attr]
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "content_filter"
    kinds = [each["type"] for each in events_of(http.post(RESPONSES, json=ask(stream=True)))]
    assert kinds[-6:] == [
        "response.content_part.added",
        "response.refusal.delta",
        "response.refusal.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    back = [USER, answer.output[0].to_dict(), USER]
    app.state.worker._checks = Checks()
    assert http.post(RESPONSES, json={"input": back}).status_code == 200


def test_a_failure_after_the_first_byte_is_an_event(http: httpx.Client) -> None:
    response = http.post(RESPONSES, json={"input": "hi # there", "stream": True})
    last = events_of(response)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"
    assert "secret" not in response.text


def test_logprobs(stock: openai.OpenAI) -> None:
    answer = stock.responses.create(
        model="anymal-fake",
        input="Hi",
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    (first, _) = answer.output[0].content[0].logprobs  # type: ignore[union-attr, misc]
    assert (first.token, first.bytes, len(first.top_logprobs)) == ("H", [72], 2)


def ask(**more: Any) -> dict[str, Any]:
    return {"input": "Hello", **more}


def test_fields_without_effect_are_named(http: httpx.Client) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    item = question(image(prompt_cache_breakpoint={"mode": "explicit"}))
    body = {
        "input": [thought, {**item, "type": "message", "phase": None}],
        "store": True,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "stream_options": {"include_obfuscation": False, "include_usage": True},
        "background": False,
        "truncation": "disabled",
        "tools": [],
        "conversation": None,
    }
    response = http.post(RESPONSES, json=body)
    assert response.status_code == 200
    assert set(response.headers["x-anymal-ignored"].split(", ")) == {
        *("store", "reasoning", "background", "truncation", "tools"),
        *("stream_options.include_obfuscation", "text.format", "text.verbosity", "input.reasoning"),
        *("input.content.detail", "input.content.prompt_cache_breakpoint"),
    }


FORM = {"type": "json_schema", "name": "a", "schema": {}}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "input", "Field required"),
        ({"input": []}, "input", "at least 1"),
        ({"input": 3}, "input", "text, or a list of messages"),
        ({"input": [{"type": "reasoning"}]}, "input", "no message"),
        ({"input": ["hello"]}, "input.0", "only messages"),
        ({"input": [USER, {"type": "function_call_output"}]}, "input.1", "only messages"),
        ({"input": [USER, {"type": "item_reference", "id": "x"}]}, "input.1", "stored items"),
        ({"input": [{"role": "judge", "content": "x"}]}, "input.0.role", "'user'"),
        ({"input": [{"role": "user", "content": []}]}, "input.0", "content is empty"),
        ({"input": [question(image(size=3))]}, "input.0.content.0.size", "not known"),
        ({"input": [question(image(file_id="f"))]}, "input.0.content.0", "no files are stored"),
        ({"input": [question({"type": "input_file"})]}, "input.0.content.0", "exactly one"),
        ({"input": [question({"type": "input_text"})]}, "input.0.content.0.text", "required"),
        ({"input": [question({"type": "input_file", "file_url": "https://a/b.pdf"})]},
         "input.0.content.0", "found 'b.pdf'"),
        (ask(tools=[{"type": "web_search"}]), "tools", "not supported"),
        (ask(text={"format": FORM}), "text.format", "not supported"),
        (ask(background=True), "background", "leave it out, or send false"),
        (ask(truncation="auto"), "truncation", "not supported"),
        (ask(previous_response_id="resp_1"), "previous_response_id", "send the earlier turns"),
        (ask(conversation="conv_1"), "conversation", "send the earlier turns"),
        (ask(prompt={"id": "p"}), "prompt", "no prompts are stored"),
        (ask(max_tokens=3), "max_tokens", "not known"),
        (ask(max_output_tokens=True), "max_output_tokens", "a number"),
        (ask(max_output_tokens=0), "max_output_tokens", "greater than or equal to 1"),
        (ask(include=["thoughts"]), "include.0", "Input should be"),
        ({"input": "corrupt", "instructions": "Hi."}, "input", "half a PNG"),
        ({"input": "too long"}, "input", "900 tokens"),
    ],
)  # fmt: skip
def test_refused_bodies(http: httpx.Client, body: Any, param: str, words: str) -> None:
    response = http.post(RESPONSES, json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert words in error["message"]


class NoImages:
    def medium(self, part: Any) -> Refusal | None:
        refusal = Refusal(check="NoImages", message="no images")
        return refusal if part.type == "image_url" else None


def test_errors_name_the_place_of_the_medium(http: httpx.Client, app: FastAPI) -> None:
    app.state.worker._checks = Checks([NoImages()])
    thought = {"type": "reasoning", "summary": []}
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA"}}
    body = {"instructions": "Hi.", "input": [thought, USER, question(sound, image())]}
    error = http.post(RESPONSES, json=body).json()["error"]
    assert (error["param"], error["code"]) == ("input.2.content.1", "content_refused")


def test_files_by_url_need_an_allowed_host(http: httpx.Client) -> None:
    inside = {"type": "input_file", "file_url": PNG}
    answer = http.post(RESPONSES, json={"input": [question(inside)]}).json()
    assert answer["output"][0]["content"][0]["text"] == "What is it? +1"
