"""Bytes of bodies in the house: shared out, counted as they come, given back."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from anymal.errors import AnymalError
from server.edge.house import House
from server.errors import HouseFull, HouseShareFull

CHAT = "/v1/chat/completions"


def test_a_body_takes_half_of_what_is_free_at_most() -> None:
    house = House(400)
    for size in (100, 100, 100):
        house.take("a", 0, size)
    with pytest.raises(HouseFull, match="no room for one of 51"):
        house.take("a", 0, 51)
    house.take("a", 0, 50)
    house.take("b", 0, 25)
    assert house.free == 25
    house.give_back("a", 350)
    house.give_back("b", 25)
    assert house.free == 400


def test_a_body_grows_until_it_is_too_large() -> None:
    house = House(400)
    for held in range(0, 200, 50):
        house.take("a", held, 50)
    with pytest.raises(HouseFull, match="no room for one of 201"):
        house.take("a", 200, 1)


def test_one_of_several_callers_leaves_room_for_the_others() -> None:
    house = House(400, are_shared=lambda: True)
    house.take("a", 0, 100)
    house.take("a", 0, 100)
    with pytest.raises(HouseShareFull, match="this key hold 200 bytes"):
        house.take("a", 0, 100)
    house.take("a", 0, 50)
    house.take("b", 0, 50)


class Pieces(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body whose length is not declared."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body[:10]
        yield self.body[10:]


def send(http: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    """Send a body in pieces."""
    request = httpx.Request("POST", f"http://anymal{CHAT}", stream=Pieces(body), headers=headers)
    return http.send(request)


def test_bytes_are_given_back_however_a_request_ends(make_app: Any, make_bridge: Any) -> None:
    app = make_app(max_body_bytes=1000, max_house_bytes=2000)
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 300}]}).encode()
    json_type = {"content-type": "application/json"}
    packed = {**json_type, "content-encoding": "gzip"}
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        for _ in range(9):
            assert http.post(CHAT, content=body, headers=json_type).status_code == 200
            assert send(http, body, **json_type).status_code == 200
            answer = http.post(CHAT, content=gzip.compress(body), headers=packed)
            assert answer.status_code == 200
            assert http.post(CHAT, content=body[:-1], headers=json_type).status_code == 400
            form = {"image": ("a.png", b"x" * 300), "question": (None, "what?")}
            assert http.post("/v1/ask", files=form).status_code == 200
    assert app.state.house.free == 2000


@pytest.mark.parametrize("way", ["declared", "in pieces", "packed", "form"])
def test_a_full_house_refuses_bodies_for_a_while(make_app: Any, make_bridge: Any, way: str) -> None:
    app = make_app(max_body_bytes=1000, max_house_bytes=2000)
    app.state.house.take("another", 0, 1000)
    app.state.house.take("another", 0, 500)
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 300}]}).encode()
    headers = {"content-type": "application/json"}
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        if way == "form":
            form = {"image": ("a.png", b"x" * 300), "question": (None, "what?")}
            answer = http.post("/v1/ask", files=form)
        elif way == "packed":
            headers["content-encoding"] = "gzip"
            answer = http.post(CHAT, content=gzip.compress(body), headers=headers)
        elif way == "in pieces":
            answer = send(http, body, **headers)
        else:
            answer = http.post(CHAT, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "house_full")
        assert answer.headers["retry-after"] == "1"
        hello = {"messages": [{"role": "user", "content": "hello"}]}
        assert http.post(CHAT, json=hello).status_code == 200
    assert app.state.house.free == 500


def test_a_house_that_would_never_take_the_largest_body_is_refused(make_app: Any) -> None:
    with pytest.raises(AnymalError, match="less than twice max_body_bytes"):
        make_app(max_body_bytes=1000, max_house_bytes=1999)
