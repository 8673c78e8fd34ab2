"""A medium to soft tokens, and who may send some."""

from typing import Any

import httpx
import pytest
import torch
from fastapi import FastAPI

from anymal.errors import MediaCorrupt, TooLong
from anymal.media.limits import Limits
from anymal.media.soft_token_file import pack, unpack
from server.edge.keys import Caller
from server.routes.dependencies import calling

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_soft_tokens_as_a_file(http: httpx.Client) -> None:
    reply = http.post("/v1/align", json={"input": PICTURE}).json()
    embeds = reply.pop("embeds")
    assert reply == {
        "object": "soft_tokens",
        "model": "anymal-fake",
        "modality": "image",
        "shape": [32, 4],
        "beside": False,
    }
    assert unpack(embeds, width=4, limits=Limits()).shape == (32, 4)


def test_soft_tokens_as_lists_are_the_same_numbers(http: httpx.Client) -> None:
    body = {"input": PICTURE, "model": "anymal-fake"}
    as_file = http.post("/v1/align", json=body).json()["embeds"]
    as_lists = http.post("/v1/align", json={**body, "format": "json"}).json()["embeds"]
    assert torch.equal(torch.tensor(as_lists), unpack(as_file, width=4, limits=Limits()))


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": {"type": "text", "text": "x"}}, 400, "input"),
        ({"input": PICTURE, "format": "pickle"}, 400, "format"),
        ({"input": PICTURE, "model": "other"}, 404, "model"),
        ({"input": PICTURE, "text": "a question"}, 400, "text"),
    ],
)
def test_refused(http: httpx.Client, body: Any, status: int, param: str) -> None:
    response = http.post("/v1/align", json=body)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_words_are_wanted_where_soft_tokens_depend_on_them(
    http: httpx.Client, backend: Any
) -> None:
    object.__setattr__(backend, "reads_text", frozenset({"image"}))
    response = http.post("/v1/align", json={"input": PICTURE})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "text")
    assert "may be empty" in response.json()["error"]["message"]
    body = {"input": PICTURE, "text": "What is it?"}
    assert http.post("/v1/align", json=body).status_code == 200


def test_a_medium_at_fault_is_the_input(http: httpx.Client, backend: Any) -> None:
    def fail(talk: Any, decode: Any) -> Any:
        error = MediaCorrupt("data URL (image/png)", "half a PNG", "a whole one")
        error.place = "messages.0.content.0"
        raise error

    object.__setattr__(backend, "to_sample", fail)
    error = http.post("/v1/align", json={"input": PICTURE}).json()["error"]
    assert error["param"] == "input"
    assert error["message"].startswith("input: data URL (image/png): found half a PNG")


@pytest.mark.parametrize("place", [None, "messages.0.content.0"])
def test_words_that_are_too_many_are_the_text(
    http: httpx.Client, backend: Any, place: str | None
) -> None:
    def fail(talk: Any, decode: Any) -> Any:
        error = TooLong("60 tokens of text; at most 40")
        error.place = place
        raise error

    object.__setattr__(backend, "reads_text", frozenset({"image"}))
    object.__setattr__(backend, "to_sample", fail)
    response = http.post("/v1/align", json={"input": PICTURE, "text": "word " * 60})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "text")


def embeds_body() -> dict[str, Any]:
    part = {"type": "prompt_embeds", "prompt_embeds": {"data": pack(torch.zeros(2, 4))}}
    return {"messages": [{"role": "user", "content": [part]}]}


def test_soft_tokens_of_a_stranger_are_refused(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json=embeds_body())
    assert response.status_code == 403
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("embeds_not_allowed", "messages")
    assert "'anonymous'" in error["message"]


def test_soft_tokens_of_a_trusted_caller_are_taken(app: FastAPI, http: httpx.Client) -> None:
    app.dependency_overrides[calling] = lambda: Caller(name="lab", may_send_embeds=True)
    assert http.post("/v1/chat/completions", json=embeds_body()).status_code == 200
