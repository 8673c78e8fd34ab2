"""The page at `/docs` describes the service, and loads nothing from elsewhere."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import httpx
from fastapi import FastAPI

from server.routes.reference import render


class Tags(HTMLParser):
    """Every tag, and where its attributes point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}
        self.ids |= {value or "" for name, value in attrs if name == "id"}


def test_every_path_and_object_is_described(app: FastAPI, http: httpx.Client) -> None:
    response = http.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    document = app.openapi()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in response.text
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{name}"' in response.text
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in response.text


def test_nothing_runs_and_nothing_comes_from_elsewhere(http: httpx.Client) -> None:
    response = http.get("/docs")
    policy = http.get("/").headers["content-security-policy"]
    assert response.headers["content-security-policy"] == policy
    page = Tags(response.text)
    assert page.tags.isdisjoint({"script", "style", "iframe", "form", "img"})
    assert not re.search(r"\s(style|on[a-z]+)=", response.text)
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert http.get(link).status_code == 200


def test_there_is_no_other_page_of_documentation(http: httpx.Client) -> None:
    assert http.get("/redoc").status_code == 404


def test_it_needs_no_key(make_http: Callable[..., httpx.Client]) -> None:
    with make_http(api_key="sesame") as http:
        assert http.get("/docs").status_code == 200
        assert http.get("/redoc").status_code == 401


def test_words_are_not_taken_for_html() -> None:
    schemas = {"<b>": {"description": "<i>", "properties": {"<u>": {"enum": ["<a>", None]}}}}
    document = {
        "info": {"title": "<s>", "version": "<p>"},
        "paths": {"/<h6>": {"get": {"description": "<em>", "responses": {"<q>": {}}}}},
        "components": {"schemas": schemas},
    }
    tags = Tags("".join(render(document))).tags
    assert tags.isdisjoint({"b", "i", "u", "s", "h6", "em", "q"})
