"""Sampling values that no answer can use are refused by every route that takes them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ROUTES: dict[str, Callable[[httpx.Client, Any], httpx.Response]] = {
    "chat": lambda http, value: http.post(
        "/v1/chat/completions", json={**CHAT, "temperature": value}
    ),
    "responses": lambda http, value: http.post(
        "/v1/responses", json={"input": "hello", "temperature": value}
    ),
    "form": lambda http, value: http.post(
        "/v1/ask", data={"question": "hello", "temperature": str(value)}
    ),
}


@pytest.mark.parametrize("ask", ROUTES.values(), ids=ROUTES.keys())
def test_temperature_of_almost_0(http: httpx.Client, ask: Any) -> None:
    for value in (5e-324, 1e-40, 0.9e-9):
        refused = ask(http, value)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "temperature"
        assert "0 and 1e-09 to 2" in refused.json()["error"]["message"]
    for value in (0, 1e-9, 2):
        assert ask(http, value).status_code == 200
