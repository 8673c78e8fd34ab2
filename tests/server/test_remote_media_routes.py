"""The service fetches nothing but what its settings allow."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from anymal.media.limits import Limits
from anymal.media.source import read_source
from server.app import create_app
from server.served.models import Backend
from server.settings import Settings

CHAT = "/v1/chat/completions"


def asking(url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("url", "found"),
    [("https://localhost/a.png", "not public"), ("https://media.test/a.png", "the host")],
)
def test_hosts_and_addresses_are_checked(
    make_http: Callable[..., httpx.Client], url: str, found: str
) -> None:
    with make_http(allow_media_hosts="localhost") as http:
        error = http.post(CHAT, json=asking(url)).json()["error"]
    assert error["code"] == "media_forbidden"
    assert found in error["message"]
    assert error["param"] == "messages.0.content.0"


def test_what_was_fetched_stands_in_the_conversation(
    backend: Backend,
    make_bridge: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fetch(self: Any, url: str, *, max_bytes: int) -> bytes:
        return b"a picture"

    def process(conversation: Any, decode: Any) -> Any:
        (part,) = conversation.messages[0].parts
        return read_source(part.image_url.url, limits=Limits()).data.decode()

    monkeypatch.setattr("server.remote_media.RemoteMedia.fetch", fetch)
    reading = replace(backend, to_sample=process)
    with httpx.Client(
        transport=make_bridge(create_app(Settings(allow_media_hosts=("media.test",)), reading)),
        base_url="http://anymal",
    ) as http:
        said = http.post(CHAT, json=asking("https://media.test/a.png")).json()
    assert said["choices"][0]["message"]["content"] == "a picture"
    with httpx.Client(
        transport=make_bridge(create_app(Settings(), reading)), base_url="http://anymal"
    ) as http:
        refused = http.post(CHAT, json=asking("https://media.test/a.png")).json()
    assert "remote media is off" in refused["error"]["message"]
