"""Lets ordinary HTTP clients call an app in this process, without a socket."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI


def bridge(app: FastAPI, http: Any = httpx) -> Any:
    """Lets ordinary clients of httpx (or of a library shaped like it) call an ASGI app."""

    class Bridge(http.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            async def call() -> Any:
                transport = http.ASGITransport(app, raise_app_exceptions=False)
                response = await transport.handle_async_request(request)
                return http.Response(
                    response.status_code, headers=response.headers, content=await response.aread()
                )

            return asyncio.run(call())

    return Bridge()
