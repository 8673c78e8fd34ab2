"""Files of a folder that the operator allows, and of no other place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from anymal.errors import AnymalError
from anymal.media.limits import Limits
from anymal.media.source import read_source
from anymal.protocol.conversation import read_conversation
from server.app import create_app
from server.local_media import LocalMedia
from server.served.models import Backend
from server.settings import Settings

CHAT = "/v1/chat/completions"


def asking(url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.fixture
def ask(
    backend: Backend, make_bridge: Callable[..., Any], tmp_path: Path
) -> Callable[[str], httpx.Response]:
    """A service that allows one folder, and says what a file holds."""
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a b.png").write_bytes(b"a picture")
    (tmp_path / "secret.png").write_bytes(b"a secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")

    def process(conversation: Any, decode: Any) -> Any:
        (part,) = conversation.messages[0].parts
        return read_source(part.image_url.url, limits=Limits()).data.decode()

    app = create_app(Settings(allow_local_media=str(folder)), replace(backend, to_sample=process))
    http = httpx.Client(transport=make_bridge(app), base_url="http://anymal")
    return lambda url: http.post(CHAT, json=asking(url))


def test_a_file_of_the_folder_is_read(ask: Callable[[str], httpx.Response], tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}/media/a%20b.png", f"FILE://localhost{tmp_path}/media/a b.png"):
        assert ask(url).json()["choices"][0]["message"]["content"] == "a picture"


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("/secret.png", "media_forbidden"),
        ("/media/../secret.png", "media_forbidden"),
        ("/media/%2e%2e/secret.png", "media_forbidden"),
        ("/media/link.png", "media_forbidden"),
        ("/media/a%20b.png?x", "media_forbidden"),
        ("/media/a%00b.png", "media_not_found"),
        ("/media/gone.png", "media_not_found"),
        ("/media", "media_not_found"),
    ],
)
def test_no_other_file_is_read(
    ask: Callable[[str], httpx.Response], tmp_path: Path, rest: str, code: str
) -> None:
    response = ask(f"file://{tmp_path}{rest}")
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, "messages.0.content.0")
    assert "secret" not in error["message"].replace("secret.png", "")


def test_a_path_without_a_scheme_stays_forbidden(
    ask: Callable[[str], httpx.Response], tmp_path: Path
) -> None:
    for url in (f"{tmp_path}/media/a b.png", "a b.png", "file://other.test/a.png"):
        assert ask(url).json()["error"]["code"] == "media_forbidden"


def test_files_are_limited_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 60)
    parts = [
        {"type": "image_url", "image_url": {"url": f"file://{tmp_path}/{name}"}} for name in "aab"
    ]
    talk = read_conversation({"messages": [{"role": "user", "content": parts}]})
    assert LocalMedia(folder=tmp_path, max_bytes=120).inline(talk) != talk
    with pytest.raises(AnymalError, match="60 bytes") as refused:
        LocalMedia(folder=tmp_path, max_bytes=119).inline(talk)
    assert refused.value.place == "messages.0.content.2"


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(AnymalError, match="'/nowhere' is not a folder"):
        create_app(Settings(allow_local_media="/nowhere"))
