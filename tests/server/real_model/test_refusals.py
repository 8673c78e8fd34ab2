"""What the real thing refuses, and how it says so."""

import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from anymal.client import Client
from anymal.client.errors import BadRequestError
from anymal.errors import AnymalError, BundleError, MediaError, TooLong
from anymal.serving.assistant import Assistant
from server.app import create_app
from server.served.backend import load_backend
from server.settings import Settings

KINDS = ("image", "video", "audio", "imu")
QUESTION = "What is it?"
HTML = base64.b64encode(b"<html>not a picture</html>").decode()


@pytest.mark.parametrize(
    ("part", "code", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "/etc/passwd"}}, "media_forbidden", "data URL"),
        ({"type": "image_url", "image_url": {"url": "walk.csv"}}, "media_forbidden", "data URL"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "media_forbidden", ""),
        ({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
         "media_forbidden", "remote"),
        ({"type": "input_imu", "input_imu": {"url": "http://example.org/a.csv"}},
         "media_forbidden", "remote"),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{HTML}"}},
         "media_unsupported", "HTML"),
        ({"type": "input_audio", "input_audio": {"data": "%%", "format": "wav"}},
         "media_corrupt", "base64"),
        ({"type": "input_imu", "input_imu": {"samples": [[1, 2]], "rate_hz": 5}}, None, ""),
    ],
)  # fmt: skip
def test_service_refuses_media(
    service: Callable[..., httpx.Response], part: Any, code: str | None, words: str
) -> None:
    response = service([part, {"type": "text", "text": QUESTION}])
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert code is None or error["code"] == code
    assert words in error["message"]


def test_service_tells_which_of_several_media_is_bad(
    service: Callable[..., httpx.Response], files: dict[str, Path]
) -> None:
    good = base64.b64encode(files["image"].read_bytes()).decode()
    urls = [f"data:image/png;base64,{data}" for data in (good, good, HTML)]
    response = service([{"type": "image_url", "image_url": {"url": url}} for url in urls])
    error = response.json()["error"]
    assert error["param"] == "messages.0.content.2"
    assert error["message"].startswith("messages.0.content.2: ")


def test_too_long_is_told(assistant: Assistant, service: Callable[..., httpx.Response]) -> None:
    with pytest.raises(TooLong):
        assistant.ask("word " * 300)
    response = service("word " * 300)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_errors_name_the_file(assistant: Assistant, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    for path in (broken, tmp_path / "gone.png"):
        with pytest.raises(MediaError) as refused:
            assistant.ask(QUESTION, image=path)
        assert path.name in str(refused.value)


def test_client_error_of_the_real_service(bundle: Path, make_bridge: Callable[..., Any]) -> None:
    backend = load_backend(Settings(bundle=str(bundle)))
    app = create_app(Settings(decode_workers=0), backend)
    with Client(base_url="http://anymal", transport=make_bridge(app)) as client:
        with pytest.raises(BadRequestError) as refused:
            client.ask(QUESTION, image=b"<html>")
        assert refused.value.code == "media_unsupported"
        assert client.models()[0].modalities == list(KINDS)
    backend.engine.close()


def test_missing_bundle_ends_the_command(
    tmp_path: Path,
) -> None:
    from server.cli import serve

    with pytest.raises(BundleError):
        serve(bundle=str(tmp_path / "gone"), port=0)


def test_taken_port_is_told() -> None:
    from server.cli import serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AnymalError, match=f"cannot listen on 127.0.0.1 port {port}"):
            serve(port=port)


def test_bundle_is_shown(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from anymal.cli.bundle import show_bundle

    show_bundle(str(bundle))
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["modalities"]) == set(KINDS)
