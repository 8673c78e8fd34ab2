"""Keys, sizes and request ids."""

import logging
from collections.abc import Callable, Iterator

import httpx
import pytest

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}]}
MakeHttp = Callable[..., httpx.Client]


@pytest.mark.parametrize(
    "key", [None, "Bearer wrong", "Bearer ", "sesame", "Bearer sesame2", "Bearer s\xe9"]
)
def test_wrong_key_is_refused(make_http: MakeHttp, key: str | None) -> None:
    headers = {"authorization": key.encode("latin-1")} if key else {}
    with make_http(api_key="sesame") as http:
        response = http.post(CHAT, json=BODY, headers=headers)  # type: ignore[arg-type]
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


def test_right_key_is_let_in_and_health_needs_none(make_http: MakeHttp) -> None:
    with make_http(api_key="sesame") as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 200
        assert http.get("/v1/models").status_code == 401
        headers = {"authorization": "Bearer sesame"}
        assert http.post(CHAT, json=BODY, headers=headers).status_code == 200


@pytest.fixture
def _log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.ERROR):
        yield


def test_every_answer_has_an_id_of_its_own(http: httpx.Client) -> None:
    ids = [
        http.get(path).headers["x-request-id"] for path in ("/healthz", "/v1/models", "/nowhere")
    ]
    assert len(set(ids)) == 3


def test_callers_own_id_is_kept_unless_it_could_forge_a_log_line(http: httpx.Client) -> None:
    kept = ("my-id-7", "0b9f.A_1-z", "x" * 128)
    forged = ("x" * 129, "a\tb", "z status=200 caller=ops", "a=b", '"', "\xe9", "", "a\n")
    for given in (*kept, *forged):
        headers = {"x-request-id": given.encode("latin-1")}
        found = http.get("/healthz", headers=headers).headers["x-request-id"]  # type: ignore[arg-type]
        assert (found == given) is (given in kept)
        assert len(found) <= 128


@pytest.mark.usefixtures("_log")
def test_unexpected_error_is_logged_once_with_its_id(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"messages": [{"role": "user", "content": "boom"}]}
    response = http.post(CHAT, json=body, headers={"x-request-id": "seven"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "seven"
    assert caplog.text.count("a secret of the house") == 1
    assert "request seven failed" in caplog.text
