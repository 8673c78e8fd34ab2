"""The log: one line a request, with nothing that the caller sent."""

import base64
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.edge.request_facts import CURRENT_REQUEST, RequestRecord
from server.logs import (
    JsonFormatter,
    TextFormatter,
    configure_logging,
    described,
    module_path,
    take_over_libraries,
)

CHAT = "/v1/chat/completions"
SECRET = "xyzzy-plugh"
MEDIUM = base64.b64encode(f"{SECRET} in a picture".encode()).decode()
KEY = f"key-{SECRET}"
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What goes to the log as JSON, from the root logger down, debug lines included."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the tests' own client
    yield stream
    logging.getLogger("httpx").setLevel(logging.NOTSET)
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a test set up the log of the process, without the handlers of the tests."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("aligners", "anymal", "encoders", "server")
    levels = {name: logging.getLogger(name).level for name in names}
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def requests_in(written: io.StringIO) -> list[dict[str, Any]]:
    return [line for line in lines(written) if line["message"] == "request"]


def asking(text: str, **more: Any) -> dict[str, Any]:
    url = f"data:image/png;base64,{MEDIUM}"
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": parts}], **more}


def test_request_is_one_line(make_http: Callable[..., httpx.Client], written: io.StringIO) -> None:
    with make_http(api_key=KEY) as http:
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "seven"}
        http.post(CHAT, json=asking("hello"), headers=headers)
    (line,) = requests_in(written)
    assert line.pop("ms") >= 0
    assert line.pop("time").endswith("Z")
    tokens = line.pop("tokens")
    assert tokens["completion"] == len("hello +1")
    assert tokens["image"] > 0
    assert line == {
        "level": "info",
        "logger": "server.edge.request_log",
        "message": "request",
        "request_id": "seven",
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "is_complete": True,
        "caller": "api-key",
        "error": None,
    }


def test_path_is_the_route_and_never_what_was_written_there(
    http: httpx.Client, written: io.StringIO
) -> None:
    http.get(f"/v1/models/{SECRET}?key={SECRET}")
    http.get(f"/{SECRET}")
    http.request(SECRET, "/healthz")
    first, second, third = requests_in(written)
    assert (first["path"], first["status"], first["error"]) == (
        "/v1/models/{model}",
        404,
        "model_not_found",
    )
    assert (second["path"], second["status"]) == ("(none)", 404)
    assert third["method"] == "(other)"


def test_nothing_of_the_callers_is_written(
    make_app: Callable[..., FastAPI], make_bridge: Callable[..., Any], written: io.StringIO
) -> None:
    app = make_app(api_key=KEY, max_body_bytes=4000)

    @app.get("/v1/broken")
    def broken() -> None:
        try:
            raise ValueError(f"cannot read {SECRET}")
        except ValueError as error:
            raise RuntimeError(f"failed at {SECRET}") from error

    good = {"authorization": f"Bearer {KEY}"}
    hello = f"hello {SECRET}"
    tries: list[tuple[dict[str, Any], dict[str, str]]] = [
        (asking(hello), good),
        (asking(hello, stream=True), good),
        (asking(f"{hello} #"), good),  # the engine fails
        (asking(f"{hello} #", stream=True), good),
        (asking("boom"), good),
        (asking(hello), {"authorization": f"Bearer wrong-{SECRET}"}),
        (asking(hello, temperature=SECRET), good),
        (asking(hello, **{SECRET: 1}), good),
        (asking(hello, model=SECRET), good),
        (asking(hello * 1000), good),
        ({"messages": [{"role": SECRET, "content": hello}]}, good),
        ({"messages": [{"role": "user", "content": [{"type": SECRET}]}]}, good),
    ]
    client = httpx.Client(transport=make_bridge(app), base_url="http://anymal")
    with client as http:
        statuses = [
            http.post(CHAT, json=body, headers=headers).status_code for body, headers in tries
        ]
        http.post(CHAT, content=f"{{{SECRET}", headers=good)
        http.get("/v1/broken", headers=good)
    assert set(statuses) == {200, 400, 401, 404, 413, 500}
    assert len(requests_in(written)) == len(tries) + 2
    log = written.getvalue()
    assert "RuntimeError" in log
    assert "ValueError" in log
    for private in (SECRET, MEDIUM, KEY, MEDIUM[:12]):
        assert private not in log


def test_exception_is_told_by_type_and_place(written: io.StringIO) -> None:
    try:
        try:
            {}["secret"]
        except KeyError:
            raise RuntimeError("secret") from None
    except RuntimeError as error:
        bare, full = list(described(error, False)), list(described(error, True))
        logging.getLogger("test").exception("failed")
    assert bare[0] == "RuntimeError"
    assert bare[1].startswith("at ")
    assert bare[1].endswith("test_exception_is_told_by_type_and_place")
    assert "test_logs.py:" in bare[1]
    assert not any("/home/" in line or str(Path.cwd()) in line for line in bare)
    assert not any("secret" in line for line in bare)
    assert full[0] == "RuntimeError('secret')"
    assert lines(written)[-1]["exception"] == bare


def test_places_are_told_without_the_folders_of_the_machine() -> None:
    assert module_path(json.__file__) == "json/__init__.py"
    assert module_path(httpx.__file__) == "httpx/__init__.py"
    assert module_path(configure_logging.__code__.co_filename) == "server/logs.py"
    assert module_path("/nowhere/near/odd.py") == "odd.py"
    assert module_path("<string>") == "<string>"


@pytest.mark.parametrize(("with_text", "is_told"), [(False, False), (True, True)])
def test_a_warning_is_a_line_of_the_log(
    with_text: bool, is_told: bool, restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(with_error_text=with_text)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"odd EXIF: {SECRET}", UserWarning, stacklevel=1)
    (line,) = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert line["message"].startswith("UserWarning at ")
    assert str(Path.cwd()) not in line["message"]
    assert (SECRET in line["message"]) is is_told


def test_lines_of_a_request_carry_its_id() -> None:
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "two\nlines", (), None)
    token = CURRENT_REQUEST.set(RequestRecord(request_id="seven"))
    try:
        as_json = json.loads(JsonFormatter().format(record))
        as_text = TextFormatter().format(record)
    finally:
        CURRENT_REQUEST.reset(token)
    assert as_json["request_id"] == "seven"
    assert as_text.endswith("INFO a: two\\nlines request_id=seven")


def test_no_field_can_be_taken_for_another() -> None:
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "a\x1b[2J\u2028b", (), None)
    record.fields = {"a": "x y=1", "b": 'say "b"', "c": None, "d": {"text": 1}, "e": "/v1/{id}"}
    assert (
        TextFormatter()
        .format(record)
        .endswith(r' a: a\x1b[2J\u2028b a="x y=1" b="say \"b\"" c=null d={"text": 1} e="/v1/{id}"')
    )


@pytest.mark.parametrize("formatter", [JsonFormatter, TextFormatter])
def test_what_is_written_has_a_greatest_length(formatter: Any) -> None:
    def fall(number: int) -> None:
        if number:
            fall(number - 1)
        raise RuntimeError("m" * 100_000)

    with pytest.raises(RuntimeError) as failed:
        fall(300)
    error = (RuntimeError, failed.value, failed.value.__traceback__)
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "m" * 100_000, (), error)
    record.fields = {"path": "p" * 100_000}
    written = formatter(with_error_text=True).format(record)
    assert len(written) < 20_000
    assert written.count("characters more)") == 3
    assert "(252 more)" in written


def test_libraries_write_through_this_log_alone(
    restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("huggingface_hub", "transformers")
    libraries = [logging.getLogger(name) for name in names]
    before = [(each.handlers[:], each.propagate, each.level) for each in libraries]
    try:
        for library in libraries:
            library.addHandler(logging.StreamHandler())
            library.propagate = False
            library.setLevel(logging.WARNING)
        configure_logging()
        take_over_libraries()
        for name in names:
            logging.getLogger(f"{name}.loading").warning("odd weights")
    finally:
        for library, (handlers, propagate, level) in zip(libraries, before, strict=True):
            library.handlers, library.propagate = handlers, propagate
            library.setLevel(level)
    written = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in written] == [f"{name}.loading" for name in names]


@pytest.mark.parametrize(("format", "start"), [("json", "{"), ("text", "2")])
def test_format_is_a_setting(
    format: Any, start: str, restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(format)
    logging.getLogger("server").info("listening")
    logging.getLogger("httpx").info("GET https://media.test/?signature=secret")
    told_lines = capsys.readouterr().err.splitlines()
    assert len(told_lines) == 1
    assert told_lines[0].startswith(start)
