"""How likely given answers are, over HTTP; the numbers are those of the fake engine."""

import math
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import torch
from fastapi import FastAPI

from anymal.client import AsyncClient, BadRequestError, Client
from anymal.media.soft_token_file import pack
from anymal.protocol.sizes import MAX_ANSWER_CHARACTERS, MAX_ANSWERS
from server.edge.keys import Caller
from server.routes.dependencies import calling
from server.safety import Checks, WordList

PATH = "/v1/likelihood"
ASKED = [{"role": "user", "content": "Which?"}]


def body(*answers: str, **more: Any) -> dict[str, Any]:
    return {"messages": ASKED, "answers": list(answers), **more}


def test_numbers_of_each_answer_in_order(http: httpx.Client) -> None:
    reply = http.post(PATH, json=body("a bc", "abc")).json()
    first, second = reply.pop("answers")
    assert reply == {
        "object": "likelihood",
        "model": "anymal-fake",
        "usage": {
            "prompt_tokens": 35,
            "completion_tokens": 5,
            "total_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 3, "image_tokens": 32},
        },
    }
    assert (first["sum"], first["tokens"]) == (-4, 3)
    assert first["per_token"] == pytest.approx(-4 / 3)
    assert (second["sum"], second["tokens"], second["per_token"]) == (-4, 2, -2)
    assert first["probability"] == second["probability"] == 0.5
    assert first["probability_per_token"] == pytest.approx(1 / (1 + math.exp(-2 / 3)))
    assert not first["is_greedy"]


def test_the_end_may_be_left_out(http: httpx.Client) -> None:
    (row,) = http.post(PATH, json=body("a", include_end=False)).json()["answers"]
    assert (row["sum"], row["tokens"], row["is_greedy"]) == (-1, 1, True)


def test_media_pass_through(http: httpx.Client, engine: Any) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked = [{"role": "user", "content": [picture, {"type": "text", "text": "Which?"}]}]
    reply = http.post(PATH, json={"messages": asked, "answers": ["a"], "model": "anymal-fake"})
    assert reply.status_code == 200
    assert engine.prompts == ["Which? +1"]


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"messages": ASKED}, 400, "answers"),
        (body(), 400, "answers"),
        (body("a", 7), 400, "answers.1"),  # type: ignore[arg-type]
        (body(*"a" * (MAX_ANSWERS + 1)), 400, "answers"),
        (body("a", "b" * (MAX_ANSWER_CHARACTERS + 1)), 400, "answers.1"),
        (body("a", messages=[]), 400, "messages"),
        (body("a", temperature=1), 400, "temperature"),
        (body("a", model="other"), 404, "model"),
        (body("a", messages=[{"role": "user", "content": "too long"}]), 400, "messages"),
    ],
)
def test_refused(http: httpx.Client, wrong: Any, status: int, param: str) -> None:
    response = http.post(PATH, json=wrong)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_most_answers_are_taken(http: httpx.Client) -> None:
    reply = http.post(PATH, json=body(*"a" * MAX_ANSWERS)).json()
    assert len(reply["answers"]) == MAX_ANSWERS


def test_a_failure_of_the_engine_tells_nothing(http: httpx.Client) -> None:
    response = http.post(PATH, json={**body("a"), "messages": [{"role": "user", "content": "#"}]})
    assert response.status_code == 500
    assert "secret" not in response.text


def test_it_takes_a_place_and_a_key(make_http: Callable[..., httpx.Client], engine: Any) -> None:
    http = make_http(max_requests=1, api_key="sesame")
    assert http.post(PATH, json=body("a")).status_code == 401
    http.headers["authorization"] = "Bearer sesame"
    long = {"messages": [{"role": "user", "content": "forever"}], "max_tokens": 300}
    chat = threading.Thread(target=lambda: http.post("/v1/chat/completions", json=long))
    chat.start()
    assert engine.has_begun.wait(5)
    response = http.post(PATH, json=body(*"abcdefgh"))
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "queue_full"
    chat.join(10)
    assert http.post(PATH, json=body(*"abcdefgh")).status_code == 200


def test_what_takes_too_long_is_ended(make_http: Callable[..., httpx.Client], engine: Any) -> None:
    http = make_http(request_seconds=0.05)
    response = http.post(PATH, json=body("a", messages=[{"role": "user", "content": "forever"}]))
    assert response.status_code == 504
    assert engine.has_ended.wait(5)
    assert engine.tickets[0].is_cancelled


def test_words_of_answers_are_checked_too(app: FastAPI, http: httpx.Client) -> None:
    app.state.worker._checks = Checks([WordList(words="rude")])
    response = http.post(PATH, json=body("kind", "rude"))
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("content_refused", "answers.1")
    asked = [{"role": "user", "content": "rude?"}]
    assert (
        http.post(PATH, json=body("kind", messages=asked)).json()["error"]["param"] == "messages.0"
    )
    assert http.post(PATH, json=body("kind")).status_code == 200


def test_soft_tokens_of_a_stranger_are_refused(app: FastAPI, http: httpx.Client) -> None:
    part = {"type": "prompt_embeds", "prompt_embeds": {"data": pack(torch.zeros(2, 4))}}
    asked = body("a", messages=[{"role": "user", "content": [part]}])
    assert http.post(PATH, json=asked).status_code == 403
    app.dependency_overrides[calling] = lambda: Caller(name="lab", may_send_embeds=True)
    assert http.post(PATH, json=asked).status_code == 200


def test_fields_without_effect_are_named(http: httpx.Client) -> None:
    asked = [{"role": "user", "content": "Which?", "name": "bob"}]
    response = http.post(PATH, json=body("a", messages=asked))
    assert response.headers["x-anymal-ignored"] == "messages.name"


def test_the_client_asks_for_it(client: Client) -> None:
    messages = [client.message("Which?")]
    reply = client.likelihood(messages, ["a bc", "abc"], model="anymal-fake")
    assert [(each.sum, each.tokens) for each in reply.answers] == [(-4, 3), (-4, 2)]
    (alone,) = client.likelihood(messages, ("a",), include_end=False).answers
    assert (alone.sum, alone.is_greedy, alone.probability) == (-1, True, 1)
    with pytest.raises(TypeError, match="stop"):
        client.likelihood(messages, ["a"], stop="b")  # type: ignore[call-arg]
    with pytest.raises(BadRequestError, match="answers"):
        client.likelihood(messages, [])


async def test_the_async_client_asks_for_it(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with AsyncClient(base_url="http://anymal", transport=transport) as client:
        reply = await client.likelihood([client.message("Which?")], ["a bc", "abc"])
    assert [each.sum for each in reply.answers] == [-4, -4]
