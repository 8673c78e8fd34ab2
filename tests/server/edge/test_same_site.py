"""Pages of other sites cannot use a service that answers without keys."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from server.edge.same_site import SameSite

MakeHttp = Callable[..., httpx.Client]
CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}]}
EVIL = "https://evil.example"


def get(http: httpx.Client, path: str = "/v1/models", **headers: str) -> httpx.Response:
    return http.get(path, headers={name.replace("_", "-"): it for name, it in headers.items()})


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8000"]
)
def test_this_machine_is_answered_under_its_own_names(make_http: MakeHttp, host: str) -> None:
    with make_http(hosts=()) as http:
        for path in ("/", "/v1/models", "/metrics", "/openapi.json"):
            assert get(http, path, host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("evil.example:127.0.0.1", "localhost@evil.example", "10.0.0.1", "[::2]", "", "[::1"),
    ],
)
def test_no_other_name_is_answered(make_http: MakeHttp, host: str) -> None:
    with make_http(hosts=()) as http:
        for path in ("/", "/v1/models", "/metrics", "/docs", "/openapi.json"):
            refused = get(http, path, host=host)
            assert refused.status_code == 403
            assert refused.json()["error"]["code"] == "foreign_host"
            assert "ANYMAL_HOSTS" in refused.json()["error"]["message"]


def test_load_balancers_may_ask_for_health_by_address(make_http: MakeHttp) -> None:
    with make_http(hosts=()) as http:
        for path in ("/health", "/healthz", "/readyz"):
            assert get(http, path, host="10.0.0.1:8000").status_code == 200


def test_names_can_be_added_for_any_port_or_one(make_http: MakeHttp) -> None:
    with make_http(hosts="Here.test there.test:8443") as http:
        for host in ("here.test", "here.test:80", "there.test:8443"):
            assert get(http, host=host).status_code == 200
        for host in ("there.test", "there.test:80", "sub.here.test"):
            assert get(http, host=host).status_code == 403


@pytest.mark.parametrize(
    ("listens_on", "own", "other"),
    [
        ("192.168.1.5", "192.168.1.5:8000", "192.168.1.6:8000"),
        ("fd00::5", "[fd00::5]:8000", "[fd00::6]:8000"),
        ("box.lan", "box.lan:8000", "box.example"),
        ("0.0.0.0", "192.168.1.6:8000", "evil.example"),
        ("::", "[fd00::6]:8000", "evil.example"),
    ],
)
def test_the_address_listened_on_is_a_name(
    make_http: MakeHttp, listens_on: str, own: str, other: str
) -> None:
    with make_http(hosts=(), host=listens_on, open=True) as http:
        assert get(http, host=own).status_code == 200
        assert get(http, host=other).status_code == 403


def test_own_page_may_ask(make_http: MakeHttp) -> None:
    headers = {"host": "localhost:8000", "sec-fetch-site": "same-origin"}
    with make_http(hosts="public.test") as http:
        for origin in ("http://localhost:8000", "https://public.test"):
            answer = http.post(CHAT, json=BODY, headers={**headers, "origin": origin})
            assert answer.status_code == 200
        assert http.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "chrome-extension://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_page_of_another_site_is_refused(make_http: MakeHttp, headers: dict[str, str]) -> None:
    headers = {"host": "localhost:8000", **headers}
    form = {"question": (None, "hello")}
    with make_http(hosts=()) as http:
        answers = [
            http.post(CHAT, json=BODY, headers=headers),
            http.post("/v1/ask", files=form, headers=headers),  # type: ignore[arg-type]
            http.post("/v1/ask", data={"question": "hello"}, headers=headers),
            http.post("/", data={"question": "hello"}, headers=headers),
            http.options(CHAT, headers=headers),
            http.get("/metrics", headers=headers),
        ]
    for answer in answers:
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "foreign_page"
        assert "--cors-origin" in answer.json()["error"]["message"]
        assert "x-request-id" in answer.headers


def test_another_site_may_link_to_the_page_and_not_embed_it(make_http: MakeHttp) -> None:
    link = {"host": "localhost", "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    with make_http(hosts=()) as http:
        for path in ("/", "/docs"):
            assert get(http, path, **link).status_code == 200
            assert get(http, path, **{**link, "sec_fetch_mode": "no-cors"}).status_code == 403


def test_allowed_origins_may_ask(make_http: MakeHttp) -> None:
    headers = {"host": "localhost", "origin": "https://page.test", "sec-fetch-site": "cross-site"}
    with make_http(hosts=(), cors_origins="https://page.test") as http:
        allowed = http.post(CHAT, json=BODY, headers=headers)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://page.test"
        assert http.post(CHAT, json=BODY, headers={**headers, "origin": EVIL}).status_code == 403
    with make_http(hosts=(), cors_origins="*") as http:
        assert http.post(CHAT, json=BODY, headers={**headers, "origin": EVIL}).status_code == 200


def test_where_keys_are_needed_every_name_is_answered(make_http: MakeHttp) -> None:
    key = {"authorization": "Bearer sesame"}
    with make_http(hosts=(), api_key="sesame") as http:
        for headers in ({"host": "api.test"}, {"host": "localhost", "origin": EVIL}):
            assert http.post(CHAT, json=BODY, headers=headers | key).status_code == 200
            assert http.post(CHAT, json=BODY, headers=headers).status_code == 401


async def test_http_1_0_needs_no_host(app: Any) -> None:
    request = httpx.Request("GET", "http://anymal/v1/models")
    del request.headers["host"]
    transport = httpx.ASGITransport(app)
    assert (await transport.handle_async_request(request)).status_code == 200
    request.headers["origin"] = EVIL
    assert (await transport.handle_async_request(request)).status_code == 403


async def test_the_body_of_a_refused_request_is_not_read() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("let in")

    async def receive() -> Any:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"origin", EVIL.encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/ask", "headers": headers}
    await SameSite(app, host="127.0.0.1", hosts=(), origins=())(scope, receive, send)
    assert sent[0]["status"] == 403


def test_refusal_does_not_repeat_a_long_name(make_http: MakeHttp) -> None:
    with make_http(hosts=()) as http:
        refused = get(http, host="localhost", origin="https://" + "evil" * 10_000)
    assert len(refused.text) < 600
