"""The page at `/docs`: what each path accepts and returns, as plain HTML from the OpenAPI document.

Does not describe anything by itself, and has no script: FastAPI's own pages load theirs from a
server on the internet, onto the origin where the web page keeps its key.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from server.routes.page import HEADERS

Schema = Mapping[str, Any]

router = APIRouter(include_in_schema=False)

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>AnyMAL: REST reference</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page/theme.css">
<link rel="stylesheet" href="/page/reference.css">
<body>
<main class="reference">
<h1>REST reference</h1>
"""


@router.get("/docs")
async def show_reference(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse("\n".join(render(request.app.openapi())), headers=HEADERS)


def render(document: Mapping[str, Any]) -> Iterator[str]:
    """An OpenAPI document as HTML.

    Args:
        document: As `FastAPI.openapi` returns it.

    Yields:
        Pieces of the page.
    """
    yield _HEAD
    yield (
        f"<p>{escape(document['info']['title'])} {escape(document['info']['version'])}. Tools can "
        'read the same from <a href="/openapi.json">/openapi.json</a>.</p>'
    )
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()} {path}", operation)
    yield "<h2>Objects</h2>"
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        yield f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
        yield from _described(schema)
        yield from _fields(schema)
    yield "</main></body></html>"


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(title)}</code></h2>"
    yield from _described(operation)
    parameters = {
        f"{each['name']} (in the {each['in']})": each["schema"]
        for each in operation.get("parameters", ())
    }
    yield from _table("parameter", parameters, required=())
    bodies = operation.get("requestBody", {}).get("content", {})
    for kind, body in bodies.items():
        yield f"<p>Body, <code>{escape(kind)}</code>: {_type(body['schema'])}</p>"
    yield "<table><tr><th>status</th><th>body</th><th>meaning</th></tr>"
    for status, answer in operation["responses"].items():
        kinds = [
            f"<code>{escape(kind)}</code> {_type(body.get('schema', {}))}"
            for kind, body in answer.get("content", {}).items()
        ]
        cells = (escape(status), "<br>".join(kinds), escape(answer.get("description", "")))
        yield _row(*cells)
    yield "</table>"


def _described(thing: Mapping[str, Any]) -> Iterator[str]:
    if "description" in thing:
        yield "".join(f"<p>{escape(each)}</p>" for each in thing["description"].split("\n\n"))


def _fields(schema: Schema) -> Iterator[str]:
    yield from _table("field", schema.get("properties", {}), schema.get("required", ()))


def _table(what: str, fields: Mapping[str, Schema], required: Any) -> Iterator[str]:
    if not fields:
        return
    yield f"<table><tr><th>{what}</th><th>type</th><th>default</th><th>meaning</th></tr>"
    for name, schema in fields.items():
        default = escape(repr(schema["default"])) if "default" in schema else ""
        yield _row(
            f"<code>{escape(name)}</code>",
            _type(schema),
            "required" if name in required else default,
            escape(schema.get("description", "")),
        )
    yield "</table>"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _type(schema: Schema) -> str:
    """The values that a schema allows, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            kinds = [_type(each) for each in schema[choice] if each != {"type": "null"}]
            return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return escape(repr(schema["const"]))
    if "enum" in schema:
        return " or ".join(escape(repr(value)) for value in schema["enum"] if value is not None)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(schema.get("type", "any"))
