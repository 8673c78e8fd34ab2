"""What the REST API answers."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"


def ask(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def events_of(response: httpx.Response) -> list[tuple[str, Any]]:
    found = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        *names, data = block.split("\n")
        name = names[0].removeprefix("event: ") if names else "message"
        payload = data.removeprefix("data: ")
        found.append((name, payload if payload == "[DONE]" else json.loads(payload)))
    return found


def test_answer(http: httpx.Client, engine: Any) -> None:
    response = http.post(
        CHAT, json=ask("Gr\xfc\xdfe", model="anymal-fake", max_tokens=50, stop="!")
    )
    assert response.status_code == 200
    body = response.json()
    assert body.pop("id").startswith("chatcmpl-")
    assert body.pop("created") > 1_700_000_000
    assert body == {
        "object": "chat.completion",
        "model": "anymal-fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Gr\xfc\xdfe", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 35,
            "completion_tokens": 5,
            "total_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 3, "image_tokens": 32},
        },
    }
    assert engine.last_sampling.max_tokens == 50
    assert engine.last_sampling.stop == ("!",)
    assert engine.last_sampling.temperature == 0


def test_length_limits(make_http: Callable[..., httpx.Client]) -> None:
    with make_http(default_tokens=3, max_tokens=5) as http:
        choice = http.post(CHAT, json=ask("sunny")).json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("sun", "length")
        for name in ("max_tokens", "max_completion_tokens"):
            choice = http.post(CHAT, json=ask("forever", **{name: 4096})).json()["choices"][0]
            assert (choice["message"]["content"], choice["finish_reason"]) == ("forev", "length")


def test_stream(http: httpx.Client) -> None:
    response = http.post(CHAT, json=ask("d\xf6g", stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response)
    assert [name for name, _ in events] == ["message"] * len(events)
    assert events[-1][1] == "[DONE]"
    chunks = [data for _, data in events[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["delta"] for choice in choices[1:-1]] == [{"content": each} for each in "d\xf6g"]
    assert (choices[-1]["delta"], choices[-1]["finish_reason"]) == ({}, "stop")
    assert {choice["finish_reason"] for choice in choices[:-1]} == {None}


def test_stream_joins_to_the_whole_answer(http: httpx.Client) -> None:
    text = "One \N{LINE SEPARATOR}two\n\n, \N{GRINNING FACE} three."
    whole = http.post(CHAT, json=ask(text)).json()
    body = ask(text, stream=True, stream_options={"include_usage": True})
    *chunks, last = [data for _, data in events_of(http.post(CHAT, json=body))[:-1]]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said == whole["choices"][0]["message"]["content"] == text
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"].pop("cached_tokens") == 34
    assert whole["usage"]["prompt_tokens_details"].pop("cached_tokens") == 0
    assert last["usage"] == whole["usage"]


def test_error_after_the_first_byte_is_an_event(http: httpx.Client) -> None:
    response = http.post(CHAT, json=ask("hi # there", stream=True))
    assert response.status_code == 200
    *_, (name, data) = events_of(response)
    assert name == "error"
    assert data["error"]["type"] == "server_error"
    assert "secret" not in response.text
    assert "[DONE]" not in response.text


def test_error_before_the_first_byte_is_a_status(http: httpx.Client) -> None:
    response = http.post(CHAT, json=ask("#", stream=True))
    assert response.status_code == 500
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("too long", 400, "context_length_exceeded"),
        ("corrupt", 400, "media_corrupt"),
        ("too large", 413, "media_too_large"),
        ("boom", 500, "internal_error"),
    ],
)
def test_exceptions_have_a_status(http: httpx.Client, text: str, status: int, code: str) -> None:
    response = http.post(CHAT, json=ask(text))
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert "secret" not in response.text


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "size": 3}}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "messages", "Field required"),
        (ask(n=9), "n", "less than or equal to 8"),
        (ask(response_format={"type": "json_object"}), "response_format", "not supported"),
        (ask(response_format={"type": "json_schema", "json_schema": {"name": "a"}}),
         "response_format", "not supported"),
        (ask(top_logprobs=2), "top_logprobs", "logprobs = true"),
        (ask(logit_bias={"5": -100}), "logit_bias", "leave it out, or send {}"),
        (ask(max_tokens=1, max_completion_tokens=2), "max_tokens", "another number"),
        (ask(stream="perhaps"), "stream", "true or false"),
        ({"messages": "hello"}, "messages", "should be a list"),
        ({"messages": ["hello"]}, "messages.0", "should be an object"),
        (ask(presence_penalty=3), "presence_penalty", "less than or equal to 2"),
        (ask(tools=[{"type": "function"}]), "tools", "not supported"),
        (ask(heat=1), "heat", "not known"),
        (ask(temperature=9), "temperature", "less than or equal to 2"),
        (ask(stream_options={"include_usage": True}), "stream_options", "stream = true"),
        (ask(stop=["a"] * 5), "stop", "up to four"),
        ({"messages": [{"role": "user", "content": [PICTURE]}]},
         "messages.0.content.0.image_url.size", "not known"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages.0.role", "'user'"),
    ],
)  # fmt: skip
def test_refused_bodies(http: httpx.Client, body: Any, param: str | None, words: str) -> None:
    response = http.post(CHAT, json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert words in error["message"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff"])
def test_what_is_no_json_object_is_refused(http: httpx.Client, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = http.post(CHAT, content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_null_asks_for_nothing(http: httpx.Client) -> None:
    body = ask(n=None, tools=None, stop=None, logprobs=False, user="me", metadata={"a": "b"})
    assert http.post(CHAT, json=body).status_code == 200


def test_another_model_is_not_found(http: httpx.Client) -> None:
    response = http.post(CHAT, json=ask(model="gpt-4o"))
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "'anymal-fake'" in response.json()["error"]["message"]


def test_models(http: httpx.Client) -> None:
    (card,) = http.get("/v1/models").json()["data"]
    assert card == {
        "id": "anymal-fake",
        "object": "model",
        "created": 7,
        "owned_by": "anymal",
        "modalities": ["image"],
        "needs_media": False,
    }
    assert http.get("/v1/models/anymal-fake").json() == card
    assert http.get("/v1/models/other").status_code == 404


def test_health(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == http.get("/health").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready", "model": "anymal-fake"}


def test_unknown_path_has_the_shape_of_an_error(http: httpx.Client) -> None:
    response = http.get("/v2/nothing")
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert "GET /v2/nothing is not a path" in response.json()["error"]["message"]


def test_openapi_describes_the_request(http: httpx.Client) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    assert {"ChatCompletionRequest", "ImuPart", "ErrorBody"} <= schemas.keys()


def test_wrong_method_is_told_all_that_are_right(make_http: Callable[..., httpx.Client]) -> None:
    with make_http(admin_key="sesame") as http:
        response = http.put("/admin/bundles", headers={"authorization": "Bearer sesame"})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
