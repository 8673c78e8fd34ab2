"""Wrong keys are slowed down and counted; right ones never are."""

from collections.abc import Callable

import httpx
import pytest

from server.edge import failed_keys
from server.edge.failed_keys import FailedKeys

MakeHttp = Callable[..., httpx.Client]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guess(http: httpx.Client, key: str) -> httpx.Response:
    return http.get("/v1/models", headers={"authorization": f"Bearer {key}"})


def test_ten_wrong_keys_a_minute_then_a_wait() -> None:
    clock = Clock()
    failed = FailedKeys(clock=clock)
    assert [failed.note("10.0.0.1") for _ in range(10)] == [0] * 10
    assert failed.note("10.0.0.1") == pytest.approx(6)
    assert failed.note("10.0.0.2") == 0
    clock.now = 6.1
    assert failed.note("10.0.0.1") == 0
    assert failed.note("10.0.0.1") > 0


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    failed = FailedKeys(clock=Clock())
    waits = [failed.note(f"2001:db8::{number:x}") for number in range(11)]
    assert waits[-1] > 0
    assert failed.note("2001:db8:0:1::1") == 0
    mapped = [failed.note(f"::ffff:10.0.0.{number}") for number in range(11)]
    assert mapped == [0] * 11


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_keys, "_MOST_ADDRESSES", 3)
    failed = FailedKeys(clock=Clock())
    for _ in range(11):
        failed.note("10.0.0.1")
    for number in range(2, 50):
        failed.note(f"10.0.0.{number}")
        assert failed.note("10.0.0.1") > 0  # who goes on is not forgotten
    assert len(failed._buckets) == 3


def test_wrong_keys_get_429_and_right_ones_never(make_http: MakeHttp) -> None:
    with make_http(api_key="sesame", admin_key="open") as http:
        statuses = [guess(http, f"wrong-{number}").status_code for number in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        refused = guess(http, "wrong")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert guess(http, "sesame").status_code == 200
        assert http.get("/v1/models").status_code == 401  # none is not a wrong one
        for path in ("/healthz", "/"):
            assert http.get(path, headers={"authorization": "Bearer wrong"}).status_code == 200
        metrics = http.get("/metrics", headers={"authorization": "Bearer open"}).text
    assert "anymal_failed_keys_total 13.0" in metrics
