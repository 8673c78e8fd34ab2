"""Two keys beside each other: neither finds what the other asked."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.edge.key_file import KeyEntry, digest_of, new_key, new_salt, write_key_file
from server.served.backend import load_backend
from server.settings import Settings

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def service(
    bundle: Path, tmp_path: Path, make_bridge: Callable[..., Any], request: pytest.FixtureRequest
) -> Iterator[Ask]:
    """Asks as one of three callers, the first two of one group; returns the usage."""
    groups = {"ada": "team", "bob": "team", "eve": None}
    keys = {name: new_key() for name in groups}
    salt = new_salt()
    entries = [
        KeyEntry(name=name, salt=salt.hex(), sha256=digest_of(keys[name], salt).hex(), group=group)
        for name, group in groups.items()
    ]
    path = tmp_path / "keys.json"
    write_key_file(path, entries)
    options = getattr(request, "param", {})
    settings = Settings(keys_file=str(path), **options)
    backend = load_backend(Settings(bundle=str(bundle)))

    with httpx.Client(
        transport=make_bridge(create_app(settings, backend)), base_url="http://anymal"
    ) as http:

        def ask(name: str, content: Any) -> dict[str, Any]:
            body = {"messages": [{"role": "user", "content": content}], "max_tokens": 1}
            headers = {"Authorization": f"Bearer {keys[name]}"}
            answer = http.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            usage: dict[str, Any] = answer.json()["usage"]
            return usage | {"misses": backend.soft_token_stats().misses}  # type: ignore[misc]

        yield ask
    backend.close()


def cached(usage: dict[str, Any]) -> int:
    return int(usage["prompt_tokens_details"]["cached_tokens"])


def picture(files: dict[str, Path]) -> list[dict[str, Any]]:
    data = base64.b64encode(files["image"].read_bytes()).decode()
    return [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}]


def test_words_of_another_are_not_found(service: Ask) -> None:
    secret = "the password of the house is a long one and nobody knows it but me " * 2
    assert cached(service("ada", secret)) == 0
    assert cached(service("ada", secret)) > 0
    assert cached(service("bob", secret)) > 0  # of the same group
    fresh = service("eve", json.dumps(list(range(30))))
    assert cached(service("eve", secret)) == cached(fresh) == 0


def test_picture_of_another_is_encoded_again(service: Ask, files: dict[str, Path]) -> None:
    assert service("ada", picture(files))["misses"] == 1
    assert service("bob", picture(files))["misses"] == 1
    usage = service("eve", picture(files))
    assert usage["misses"] == 2
    assert cached(usage) == 0


@pytest.mark.parametrize("service", [{"share_caches": True}], indirect=True)
def test_caches_can_be_shared(service: Ask, files: dict[str, Path]) -> None:
    service("ada", picture(files))
    usage = service("eve", picture(files))
    assert usage["misses"] == 1
    assert cached(usage) > 0
