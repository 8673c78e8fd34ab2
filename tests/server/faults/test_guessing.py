"""Keys guessed from many addresses that are made up, through a proxy of this machine."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.faults
PATH = "/admin/bundles"


def test_the_address_that_the_proxy_saw_counts(
    make_app: Callable[..., FastAPI], run: Callable[..., AbstractContextManager[Any]]
) -> None:
    def ask(key: str, forwarded: str) -> int:
        headers = {"authorization": f"Bearer {key}", "x-forwarded-for": forwarded}
        return httpx.get(f"{live.url}{PATH}", headers=headers).status_code

    with run(make_app(admin_key="sesame", open=True)) as live:
        made_up = [ask("wrong", f"192.0.2.{number}, 198.51.100.1") for number in range(12)]
        assert made_up == [401] * 10 + [429] * 2
        assert ask("sesame", "198.51.100.1") == 200
        assert ask("wrong", "198.51.100.2") == 401
