"""Requests that are nearly right: JSON changed value by value, and bodies byte by byte."""

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np

from tests.anymal.media.fuzz.mutations import mutated

CHAT, ASK, ALIGN = "/v1/chat/completions", "/v1/ask", "/v1/align"
_PICTURE = "data:image/png;base64,iVBORw0KGgo="
_PARTS = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": _PICTURE, "detail": "low"}},
    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {
        "type": "input_imu",
        "input_imu": {"data": "AAAA", "format": "npy", "rate_hz": 50, "acceleration_unit": "g"},
    },
]
BODIES: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"model": "anymal-fake", "messages": [{"role": "user", "content": "Hello"}]}),
    (CHAT, {"messages": [{"role": "user", "content": _PARTS}], "max_tokens": 9, "seed": 3}),
    (
        CHAT,
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello", "name": "ann"},
                {"role": "assistant", "content": "Hi."},
                {"role": "user", "content": [{"type": "text", "text": "And?"}]},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    (
        CHAT,
        {
            "messages": [{"role": "user", "content": "Hello"}],
            **{"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "n": 1},
            **{"logprobs": True, "top_logprobs": 2, "stop": ["!", ";"], "seed": -1},
            **{"max_completion_tokens": 7, "user": "ann", "metadata": {"a": "b"}, "store": False},
        },
    ),
    (ALIGN, {"input": _PARTS[1]}),
]
FORM: list[Any] = [
    *[(name, (None, text)) for name, text in (("question", "What?"), ("seed", "3"), ("stop", "!"))],
    *[("temperature", (None, "0.5")), ("imu_rate_hz", (None, "50")), ("stream", (None, "false"))],
    *[("image", ("a.png", b"one")), ("imu", ("walk.csv", b"rows"))],
]
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308, float("nan")),
    *("", " ", "a", "x" * 5000, "\0", "\ud800", "\u00e9", "data:", _PICTURE, "file:///etc/passwd"),
    *("http://[::1", "https://example.com/a.png", "user", "image_url", "1", "nan", "%", "../.."),
    *([], {}, [[]], [None], [0] * 300, {"": ""}, {"type": "text"}, [{"role": "user"}]),
)


def requests(number: int) -> Iterator[tuple[int, httpx.Request]]:
    """So many requests, each with its number, which makes it again."""
    for place in range(number):
        rng = np.random.default_rng([7, place])
        make = (_of_values, _of_values, _of_bytes, _of_form)[rng.integers(4)]
        request = make(rng)
        # The fake engine of these tests breaks at this letter, as it is asked to.
        yield place, _without(b"#", request)


def _of_values(rng: np.random.Generator) -> httpx.Request:
    path, body = _any(BODIES, rng)
    changed = copy.deepcopy(body)
    for _ in range(rng.integers(1, 4)):
        changed = _changed(changed, rng)
    content = json.dumps(changed).encode()
    return _request(path, content, "application/json", rng)


def _of_bytes(rng: np.random.Generator) -> httpx.Request:
    path, _ = _any(BODIES, rng)
    content = mutated([json.dumps(body).encode() for _, body in BODIES], rng)
    return _request(path, content, "application/json", rng)


def _of_form(rng: np.random.Generator) -> httpx.Request:
    fields = [field for field in FORM if rng.random() < 0.8]
    if rng.random() < 0.5:
        name = _any(("question", "image", "imu_rate_hz", "stream", "seed", "odd", ""), rng)
        fields.append((name, (None, str(_any(_ODD_VALUES, rng))[:300].encode("utf-8", "replace"))))
    whole = httpx.Request("POST", f"http://anymal{ASK}", files=fields or FORM)
    content = whole.read()
    if rng.random() < 0.7:
        content = mutated([content], rng)
    return _request(ASK, content, whole.headers["content-type"], rng)


def _request(path: str, content: bytes, kind: str, rng: np.random.Generator) -> httpx.Request:
    headers = {"content-type": kind}
    chance = rng.random()
    if chance < 0.05:
        headers["content-type"] = _any(("", "text/plain", "multipart/form-data", "a/b; c="), rng)
    elif chance < 0.1:
        content, headers["content-encoding"] = mutated([gzip.compress(content)], rng), "gzip"
    elif chance < 0.15:
        headers["accept"] = _any(("text/plain", "", "*/*;q=x"), rng)
    return httpx.Request("POST", f"http://anymal{path}", content=content, headers=headers)


def _changed(body: Any, rng: np.random.Generator) -> Any:
    """The body with one of its values, or one of its keys, changed."""
    places = list(_places(body))
    parent, key = _any(places, rng) if places else (None, None)
    if parent is None:
        return _any(_ODD_VALUES, rng)
    way = rng.integers(6)
    if way < 3:
        parent[key] = _any(_ODD_VALUES, rng)
    elif way == 3:
        del parent[key]
    elif way == 4 and isinstance(parent, dict):
        parent[str(_any(("extra", "", "text", "content", "role", "url"), rng))] = parent[key]
    else:
        parent[key] = [parent[key], copy.deepcopy(parent[key])]
    return body


def _places(body: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(body, dict | list):
        for key, value in list(body.items() if isinstance(body, dict) else enumerate(body)):
            yield body, key
            yield from _places(value)


def _any(choices: Any, rng: np.random.Generator) -> Any:
    return choices[rng.integers(len(choices))]


def _without(mark: bytes, request: httpx.Request) -> httpx.Request:
    if request.headers.get("content-encoding") == "gzip":
        return request
    content = request.content.replace(mark, b"").replace(b"\\u0023", b"")
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    return httpx.Request(request.method, request.url, content=content, headers=headers)
