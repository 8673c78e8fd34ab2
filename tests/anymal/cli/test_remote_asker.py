"""Services that do not know every option are asked without it, and the user is told."""

import json
from typing import Any

import httpx
import pytest

from anymal.cli.remote_asker import RemoteAsker
from anymal.client import Client
from anymal.client.errors import BadRequestError

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


class Older(httpx.BaseTransport):
    """Refuses a field, and answers "yes" without it."""

    def __init__(self, unknown: str) -> None:
        self.unknown = unknown
        self.bodies: list[dict[str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        self.bodies.append(body)
        if self.unknown in body:
            detail = {"message": "unknown", "type": "invalid", "param": self.unknown, "code": "x"}
            return httpx.Response(400, json={"error": detail})
        choices: list[Any] = [{"delta": {"content": "yes"}}, {"delta": {}, "finish_reason": "stop"}]
        head = {"id": "1", "created": 1, "model": "m", "usage": USAGE}
        events = [{**head, "choices": [choice]} for choice in choices]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return httpx.Response(200, text=text + "data: [DONE]\n\n")


def asker(service: Older) -> RemoteAsker:
    return RemoteAsker(Client(base_url="http://anymal", transport=service))


def test_older_service_is_asked_again_once(capsys: pytest.CaptureFixture[str]) -> None:
    service = Older("stop_repetition")
    with asker(service) as own:
        for _ in range(2):
            stream = own.stream([own.message("Well?")], max_tokens=9, stop_repetition=True)
            assert "".join(stream) == "yes"
            assert stream.answer.finish_reason == "stop"
    assert ["stop_repetition" in body for body in service.bodies] == [True, False, False]
    assert {body["max_tokens"] for body in service.bodies} == {9}
    assert capsys.readouterr().err.count("does not know stop_repetition") == 1


def test_other_refusals_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    service = Older("max_tokens")
    with asker(service) as own, pytest.raises(BadRequestError):
        list(own.stream([own.message("Well?")], max_tokens=9, stop_repetition=True))
    assert len(service.bodies) == 1
    assert capsys.readouterr().err == ""
