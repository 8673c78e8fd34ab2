"""Scores of answers over HTTP; the numbers are those of the fake engine."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from anymal.client import AsyncClient, BadRequestError, Client
from anymal.protocol.grading import Grading
from server.safety import Checks, WordList
from server.served.models import Backend
from tests.server.conftest import EchoEngine, make_backend

PATH = "/v1/score"
ASKED = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "Red."}]


def body(**more: Any) -> dict[str, Any]:
    return {"messages": ASKED, **more}


@pytest.fixture
def backend(engine: EchoEngine) -> Iterator[Backend]:
    """One whose reward is half of the number of letters that it reads last."""
    grading = Grading(ask="{facts}!")
    yield replace(
        make_backend(engine), grading=grading, read_reward=lambda hidden: hidden[:, 0] / 2
    )
    engine.close()


def test_the_number_with_facts_behind_the_answer(http: httpx.Client, engine: Any) -> None:
    assert http.post(PATH, json=body(facts=["a", "bc"])).json() == {
        "object": "score",
        "model": "anymal-fake",
        "score": 2.5,
        "usage": {
            "prompt_tokens": 35,
            "completion_tokens": 0,
            "total_tokens": 35,
            "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 3, "image_tokens": 32},
        },
    }
    assert engine.prompts == ["a\nbc!"]


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"facts": ["a"]}, 400, "messages"),
        (body(), 400, "facts"),
        (body(facts=[]), 400, "facts"),
        (body(facts="a"), 400, "facts"),
        (body(facts=["a"] * 129), 400, "facts"),
        (body(facts=["a", 7]), 400, "facts.1"),
        (body(facts=["a"], messages=ASKED[:1]), 400, "messages"),
        (body(facts=["a"], temperature=1), 400, "temperature"),
        (body(facts=["a"], model="other"), 404, "model"),
    ],
)
def test_refused(http: httpx.Client, wrong: Any, status: int, param: str) -> None:
    response = http.post(PATH, json=wrong)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_a_failure_of_the_engine_tells_nothing(http: httpx.Client) -> None:
    response = http.post(PATH, json=body(facts=["#"]))
    assert response.status_code == 500
    assert "secret" not in response.text


def test_it_takes_a_key(make_http: Callable[..., httpx.Client]) -> None:
    http = make_http(api_key="sesame")
    assert http.post(PATH, json=body(facts=["a"])).status_code == 401
    http.headers["authorization"] = "Bearer sesame"
    assert http.post(PATH, json=body(facts=["a"])).status_code == 200


def test_words_of_facts_are_checked_too(app: FastAPI, http: httpx.Client) -> None:
    app.state.worker._checks = Checks([WordList(words="rude")])
    error = http.post(PATH, json=body(facts=["kind", "rude"])).json()["error"]
    assert (error["code"], error["param"]) == ("content_refused", "facts.1")


def test_the_client_asks_for_it(client: Client) -> None:
    assert client.score(ASKED, facts=("abc",)).score == 2.0
    assert client.score(ASKED, facts=["abc"], model="anymal-fake").model == "anymal-fake"
    with pytest.raises(TypeError, match="stop"):
        client.score(ASKED, stop="b")  # type: ignore[call-arg]
    with pytest.raises(BadRequestError, match="taught with facts"):
        client.score(ASKED)


async def test_the_async_client_asks_for_it(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with AsyncClient(base_url="http://anymal", transport=transport) as client:
        assert (await client.score(ASKED, facts=["abc"])).score == 2.0


class TestOthers:
    """Models that read no reward."""

    @pytest.fixture
    def backend(self, engine: EchoEngine) -> Iterator[Backend]:
        yield make_backend(engine)
        engine.close()

    def test_are_refused_by_name(self, http: httpx.Client) -> None:
        response = http.post(PATH, json=body())
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["param"], error["code"]) == ("model", "no_reward")
        assert "anymal-fake" in error["message"]
