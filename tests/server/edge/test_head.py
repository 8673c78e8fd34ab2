"""HEAD is GET without a body."""

import httpx
import pytest
from fastapi import FastAPI


@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/v1/models", "/openapi.json"])
def test_head_has_the_headers_of_get(http: httpx.Client, path: str) -> None:
    whole, head = http.get(path), http.head(path)
    assert head.status_code == whole.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


def test_log_and_metrics_tell_head_and_its_path(http: httpx.Client, app: FastAPI) -> None:
    http.head("/v1/models")
    told = app.state.metrics.exposition().decode()
    assert 'anymal_requests_total{path="/v1/models",status="200"} 1.0' in told


def test_head_of_what_cannot_be_got_is_refused(http: httpx.Client) -> None:
    assert http.head("/v1/chat/completions").status_code == 405
    assert http.head("/nowhere").status_code == 404
