"""JSON text: what it may hold, and what is refused before it is parsed."""

import json
import pkgutil
import tracemalloc
from importlib import import_module
from typing import Any

import pytest
from fastapi import params

import server.routes
from server.errors import BadRequest, BodyTooLarge
from server.routes.json_body import JsonRoute
from server.routes.json_text import MAX_DIGITS, MAX_PIECES, MAX_TEXTS, parsed

HALF = MAX_PIECES // 2


@pytest.mark.parametrize(
    "value",
    [
        {"text": 'quotes " and \\ and \\" and [[[,,,{{{' * 9_000},
        {"text": "digits " + "7" * 100_000, "more": ["\\", '\\"', ""] * 9_000},
        {"\u00e9": "\u4e2d\U0001f600" * 50_000, "number": int("7" * MAX_DIGITS)},
        {"rows": [[0.5, -1e-3, 9.81]] * 30_000},
    ],
)
def test_what_fits_is_read_as_ever(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert parsed(bytearray(text.encode())) == value


def test_byte_order_mark_is_no_part_of_it() -> None:
    assert parsed(bytearray(b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"{}," * HALF + b"{}]",
        b"[" + b"[]," * HALF + b"[]]",
        b"[" + b"1," * MAX_PIECES + b"1]",
        b"[" + b'"",' * MAX_TEXTS + b'""]',
        b"{" + b",".join(b'"%d":1' % number for number in range(MAX_TEXTS + 1)) + b"}",
        b'["' + b'\\"' * (2 * MAX_TEXTS) + b'"]',
        b'""' * (MAX_TEXTS + 1),
        b"[" * (MAX_PIECES + 1) + b"]",
    ],
    ids=["objects", "lists", "numbers", "texts", "keys", "quotes", "no JSON", "deep"],
)
def test_too_many_values_are_refused_before_they_take_memory(text: bytes) -> None:
    given = bytearray(text)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="values"):
            parsed(given)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 300 + b"]" * 300, "recursion limit"),
        (b"[" + b"9" * 100_000 + b"]", "digits"),
        (b'["' + b"a" * 100_000 + b'", ' + b"9" * 600 + b"]", "digits"),
        (b'["' + b"a" * 100_000, "EOF"),
        (b'["' + b"a" * 100_000 + b"\\", "EOF"),
        (b'["\\ud800"]', "hex escape"),
        (b"\xff\xfe\x00", "line 1"),
        (b"", "EOF"),
    ],
)
def test_what_is_no_json_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as refused:
        parsed(bytearray(text))
    assert refused.value.problem.code == "invalid_json"
    assert len(str(refused.value)) < 300


def test_every_route_with_a_json_body_reads_it_here() -> None:
    """FastAPI's own reading has no limits."""
    modules = [info.name for info in pkgutil.iter_modules(server.routes.__path__)]
    routers = [getattr(import_module(f"server.routes.{name}"), "router", None) for name in modules]
    routes = [route for router in routers if router is not None for route in router.routes]
    assert sum(isinstance(route, JsonRoute) for route in routes) > 3
    for route in routes:
        field = route.body_field
        is_form = field is not None and isinstance(field.field_info, params.Form)
        assert field is None or is_form or isinstance(route, JsonRoute), route.path
