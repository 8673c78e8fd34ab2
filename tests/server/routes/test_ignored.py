"""Fields without effect are named in the answer, or refused by a strict service."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def ask(**more: Any) -> dict[str, Any]:
    cached = {"cache_control": {"type": "ephemeral"}}
    turn = {"role": "user", "name": "bob", "content": [{**PICTURE, **cached}] * 2}
    return {"messages": [turn, {"role": "assistant", "content": None}, turn], **more}


@pytest.mark.parametrize("stream", [False, True])
def test_header_names_each_field_once(http: httpx.Client, stream: bool) -> None:
    response = http.post(CHAT, json=ask(user="ada", reasoning_effort="low", stream=stream))
    assert response.status_code == 200
    assert response.headers["x-anymal-ignored"] == (
        "user, reasoning_effort, messages.name, messages.content.cache_control"
    )


def test_without_such_fields_there_is_no_header(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "user": None, "min_p": 0}
    assert "x-anymal-ignored" not in http.post(CHAT, json=body).headers


def test_misspelt_fields_are_refused_all_the_same(http: httpx.Client) -> None:
    response = http.post(CHAT, json=ask(heat=0.5))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "heat"


def test_strict_service_refuses_them(make_http: Callable[..., httpx.Client]) -> None:
    with make_http(strict=True) as http:
        response = http.post(CHAT, json=ask())
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["param"], error["code"]) == ("messages.0.name", "unsupported_parameter")
        body = {"messages": [{"role": "user", "content": "hello"}]}
        assert http.post(CHAT, json=body).status_code == 200
        align = http.post("/v1/align", json={"input": {**PICTURE, "uuid": "7"}})
        assert align.json()["error"]["param"] == "input.uuid"
