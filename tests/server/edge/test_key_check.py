"""Which doors a key opens."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send

from server.edge.caller_limits import CallerLimits
from server.edge.failed_keys import FailedKeys
from server.edge.key_check import KeyCheck
from server.edge.key_file import KeyEntry, digest_of, write_key_file
from server.edge.keys import Keyring

MakeHttp = Callable[..., httpx.Client]
CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}]}
FREE = ("/health", "/healthz", "/readyz", "/openapi.json", "/")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def entry(name: str, **rights: Any) -> KeyEntry:
    salt = bytes(16)
    return KeyEntry(
        name=name, salt=salt.hex(), sha256=digest_of(f"{name}'s key", salt).hex(), **rights
    )


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    path = tmp_path / "keys.json"
    entries = [
        entry("ada"),
        entry("bob", is_admin=True, may_send_embeds=True),
        entry("eve", requests_per_minute=2),
    ]
    write_key_file(path, entries)
    return str(path)


def test_without_keys_all_but_administration_is_open(make_http: MakeHttp) -> None:
    with make_http() as http:
        for path in (*FREE, "/v1/models", "/metrics"):
            assert http.get(path).status_code == 200
        assert http.post(CHAT, json=BODY, headers=bearer("none")).status_code == 200
        refused = http.get("/admin/bundles")
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"


def test_admin_key_alone_closes_all(make_http: MakeHttp) -> None:
    with make_http(admin_key="open") as http:
        for path in FREE:
            assert http.get(path).status_code == 200
        for path in ("/v1/models", "/admin/bundles", "/metrics"):
            assert http.get(path).status_code == 401
            assert http.get(path, headers=bearer("wrong")).status_code == 401
            assert http.get(path, headers=bearer("open")).status_code == 200


@pytest.mark.parametrize("keys", [{"admin_key": "open"}, {"admin_key": "open", "api_key": "a"}])
def test_open_lets_everybody_ask_beside_keys(make_http: MakeHttp, keys: dict[str, str]) -> None:
    with make_http(**keys, open=True) as http:
        assert http.get("/v1/models").status_code == 200
        for path in ("/admin/bundles", "/metrics"):
            assert http.get(path).status_code == 401
            assert http.get(path, headers=bearer("wrong")).status_code == 401
            assert http.get(path, headers=bearer("open")).status_code == 200


def test_keys_open_what_their_holders_may(make_http: MakeHttp, keys_file: str) -> None:
    with make_http(keys_file=keys_file) as http:
        for path in FREE:
            assert http.get(path).status_code == 200
        for path in ("/v1/models", "/metrics", "/admin/bundles", "/yet/to/be/written"):
            assert http.get(path).status_code == 401
        assert http.get("/v1/models", headers=bearer("ada's key")).status_code == 200
        for path in ("/metrics", "/admin/bundles"):
            refused = http.get(path, headers=bearer("ada's key"))
            assert refused.status_code == 403
            assert refused.json()["error"]["code"] == "admin_only"
            assert http.get(path, headers=bearer("bob's key")).status_code == 200


def test_metrics_can_be_opened(make_http: MakeHttp) -> None:
    with make_http(api_key="sesame", open_metrics=True) as http:
        assert http.get("/metrics").status_code == 200
        assert http.get("/v1/models").status_code == 401


def test_rate_limit_is_429_and_says_when_to_come_back(make_http: MakeHttp, keys_file: str) -> None:
    with make_http(keys_file=keys_file) as http:
        for _ in range(2):
            assert http.get("/v1/models", headers=bearer("eve's key")).status_code == 200
        refused = http.get("/v1/models", headers=bearer("eve's key"))
        assert http.get("/v1/models", headers=bearer("ada's key")).status_code == 200
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 30


def test_scheme_may_be_written_in_any_case(make_http: MakeHttp) -> None:
    with make_http(api_key="sesame") as http:
        for good in ("bearer sesame", "BEARER sesame", "Bearer  sesame"):
            assert http.get("/v1/models", headers={"authorization": good}).status_code == 200
        for bad in ("Basic sesame", "Bearer", "sesame"):
            assert http.get("/v1/models", headers={"authorization": bad}).status_code == 401


def test_app_is_told_the_caller(keys_file: str, make_bridge: Callable[..., Any]) -> None:
    app = FastAPI()

    @app.get("/v1/me")
    def me(request: Request) -> dict[str, Any]:
        caller = request.state.caller
        return {"name": caller.name, "embeds": caller.may_send_embeds}

    ring = Keyring(path=Path(keys_file))
    app.add_middleware(
        KeyCheck, keyring=ring, limits=CallerLimits(), failed=FailedKeys(), has_open_metrics=False
    )
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        bob = http.get("/v1/me", headers=bearer("bob's key")).json()
    assert bob == {"name": "bob", "embeds": True}


async def test_place_is_held_until_the_answer_ends(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_key_file(path, [entry("ada", max_concurrent=1)])
    may_end, has_begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        has_begun.set()
        await may_end.wait()
        await send({"type": "http.response.body", "body": b""})

    key_check = KeyCheck(
        app,
        keyring=Keyring(path=path),
        limits=CallerLimits(),
        failed=FailedKeys(),
        has_open_metrics=False,
    )
    transport = httpx.ASGITransport(key_check)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://anymal") as http:
        first = asyncio.create_task(http.get("/v1/models", headers=bearer("ada's key")))
        await has_begun.wait()
        assert (await http.get("/v1/models", headers=bearer("ada's key"))).status_code == 429
        may_end.set()
        assert (await first).status_code == 200
        assert (await http.get("/v1/models", headers=bearer("ada's key"))).status_code == 200


def test_cors_is_off_unless_origins_are_named(make_http: MakeHttp) -> None:
    ask = {"origin": "https://page.test", "access-control-request-method": "POST"}
    wants = {"access-control-request-headers": "authorization,content-type"}
    with make_http() as http:
        assert "access-control-allow-origin" not in http.options(CHAT, headers=ask).headers
        assert "access-control-allow-origin" not in http.get("/healthz", headers=ask).headers
    with make_http(cors_origins="https://page.test", api_key="sesame") as http:
        allowed = http.options(CHAT, headers=ask | wants)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://page.test"
        assert "authorization" in allowed.headers["access-control-allow-headers"]
        refused = http.post(CHAT, json=BODY, headers={"origin": "https://page.test"})
        assert refused.status_code == 401  # the page can read why
        assert refused.headers["access-control-allow-origin"] == "https://page.test"
        other = http.get("/healthz", headers={"origin": "https://other.test"})
        assert "access-control-allow-origin" not in other.headers
