"""Fields that stock clients send are taken out and told; whatever else is not known is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from anymal.protocol.explain import explain
from anymal.protocol.requests import AlignRequest, ChatCompletionRequest
from anymal.protocol.without_effect import (
    MEDIUM,
    MESSAGE,
    PART,
    REQUEST,
    RESPONSE,
    RESPONSE_TEXT,
    STREAM_OPTIONS,
    Rows,
)

IMAGE = {"url": "data:image/png;base64,AAAA"}
PICTURE = {"type": "image_url", "image_url": IMAGE}


def body(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [PICTURE]}], **more}


def harmless(values: tuple[Any, ...] | None) -> Any:
    return {"any": ["thing"]} if values is None else values[-1]


@pytest.mark.parametrize("name", REQUEST)
def test_every_field_of_the_table_is_taken_and_told(name: str) -> None:
    asked = ChatCompletionRequest.model_validate(body(**{name: harmless(REQUEST[name])}))
    assert asked.ignored == (name,)
    assert asked.model_copy(update={"model": "other"}).ignored == (name,)


def test_fields_inside_are_told_by_their_paths() -> None:
    stream = {name: harmless(values) for name, values in STREAM_OPTIONS.items()}
    medium = IMAGE | {name: harmless(values) for name, values in MEDIUM.items()}
    part = {name: harmless(values) for name, values in PART.items()}
    message = {name: harmless(values) for name, values in MESSAGE.items()}
    content = [{**part, "type": "text", "text": "x"}, {"type": "image_url", "image_url": medium}]
    asked = ChatCompletionRequest.model_validate(
        {
            "messages": [{**message, "role": "user", "content": content}],
            "stream": True,
            "stream_options": stream,
        }
    )
    expected = {f"stream_options.{name}" for name in STREAM_OPTIONS}
    expected |= {f"messages.0.{name}" for name in MESSAGE}
    expected |= {f"messages.0.content.0.{name}" for name in PART}
    expected |= {f"messages.0.content.1.image_url.{name}" for name in MEDIUM}
    assert set(asked.ignored) == expected
    align = AlignRequest.model_validate({"input": {**PICTURE, "uuid": "7"}})
    assert align.ignored == ("input.uuid",)


@pytest.mark.parametrize("more", [{"best_of": True}, {"echo": 0}, {"min_tokens": False}])
def test_true_is_not_one(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="is not supported"):
        ChatCompletionRequest.model_validate(body(**more))


def test_null_is_absent_and_not_told() -> None:
    asked = ChatCompletionRequest.model_validate(body(**dict.fromkeys(REQUEST)))
    assert asked.ignored == ()


@pytest.mark.parametrize("name", [name for name, values in REQUEST.items() if values is not None])
def test_other_values_of_a_field_with_few_are_refused(name: str) -> None:
    wrong = body(**{name: "something else"})
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(wrong)
    problem = explain(refused.value.errors(), wrong)
    assert (problem.param, problem.code) == (name, "unsupported_parameter")


def test_tools_that_may_not_be_called_are_no_request() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    asked = ChatCompletionRequest.model_validate(body(tools=tools, tool_choice="none"))
    assert asked.ignored == ("tools", "tool_choice")
    for more in ({}, {"tool_choice": "auto"}):
        with pytest.raises(ValidationError, match="'tools' is not supported"):
            ChatCompletionRequest.model_validate(body(tools=tools, **more))


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (body(heat=1), "heat"),
        (body(stream=True, stream_options={"usage": True}), "stream_options.usage"),
        ({"messages": [{"role": "user", "content": "x", "nick": "bob"}]}, "messages.0.nick"),
        (
            {"messages": [{"role": "user", "content": [{**PICTURE, "cache": 1}]}]},
            "messages.0.content.0.cache",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]},
            "messages.0.tool_calls",
        ),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {**IMAGE, "detail": "huge"}}]}]},
            "messages.0.content.0.image_url.detail",
        ),
    ],
)  # fmt: skip
def test_misspelt_fields_are_refused(wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(wrong)
    assert explain(refused.value.errors(), wrong).param == param


def row_of(where: str, rows: Rows) -> str:
    """What the document says of a part of the table."""
    every = ", ".join(f"`{name}`" for name, values in rows.items() if values is None)
    only = "; ".join(
        f"`{name}`: " + " or ".join(f"`{json.dumps(value)}`" for value in values)
        for name, values in rows.items()
        if values is not None
    )
    return f"| {where} | {every} | {only} |"


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("request", REQUEST),
        ("`stream_options`", STREAM_OPTIONS),
        ("message", MESSAGE),
        ("part", PART),
        ("`image_url` etc.", MEDIUM),
        ("request to `/v1/responses`", RESPONSE),
        ("its `text`", RESPONSE_TEXT),
    ],
)
def test_the_document_lists_them(where: str, rows: Rows) -> None:
    document = (Path(__file__).parents[3] / "docs" / "rest.md").read_text()
    assert row_of(where, rows) in document.splitlines()


def test_schema_describes_them() -> None:
    schema = ChatCompletionRequest.model_json_schema()
    assert REQUEST.keys() <= schema["properties"].keys()
    assert MESSAGE.keys() <= schema["$defs"]["Message"]["properties"].keys()
    assert PART.keys() <= schema["$defs"]["TextPart"]["properties"].keys()
    assert MEDIUM.keys() <= schema["$defs"]["ImageUrl"]["properties"].keys()
