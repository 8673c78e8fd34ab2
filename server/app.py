"""Builds the app: routes, worker, middleware and error responses.

Does not listen on a port and reads no environment; `cli` does.
"""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from anymal import __version__
from anymal.decoding.job import Bounds
from anymal.decoding.pool import DecoderPool
from anymal.errors import AnymalError
from anymal.media.source import shorten
from anymal.protocol.explain import explain
from server.answering.disconnect import ClientGone
from server.answering.places import Places
from server.answering.turns import Turns
from server.answering.worker import Worker
from server.edge.body_limit import BodyLimit
from server.edge.caller_limits import CallerLimits
from server.edge.drain import Drain, DrainGate
from server.edge.failed_keys import FailedKeys
from server.edge.head import HeadAsGet
from server.edge.house import House, HouseLimit
from server.edge.key_check import KeyCheck
from server.edge.keys import Keyring
from server.edge.packed_body import PackedBody
from server.edge.request_log import RequestLog
from server.edge.same_site import SameSite
from server.errors import BadRequest, response_for
from server.local_media import LocalMedia
from server.logs import take_over_libraries
from server.metrics import Metrics
from server.remote_media import RemoteMedia
from server.routes import (
    admin,
    align,
    ask,
    likelihood,
    monitoring,
    openai,
    page,
    reference,
    responses,
    score,
)
from server.routes.ignored import IGNORED
from server.safety import load_checks
from server.served.bundles import Bundles
from server.served.models import Backend
from server.settings import Settings, house_bytes

if TYPE_CHECKING:  # the app starts without torch
    from server.served.shared_engines import SharedEngines


_NO_PATH = "is not a path of this service; /docs lists all, such as POST /v1/chat/completions"


class DescribedApp(FastAPI):
    """An app that answers refused bodies with 400 in OpenAI's shape, never with 422."""

    def openapi(self) -> dict[str, Any]:
        """See FastAPI."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for route in path.values():
                    route["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
        assert self.openapi_schema is not None, "FastAPI keeps the document it made"
        return self.openapi_schema


def create_app(
    settings: Settings,
    backend: Backend | None = None,
    *,
    load: Callable[[Settings], Backend] | None = None,
    on_failure: Callable[[], None] = lambda: None,
    decoders: DecoderPool | None = None,
) -> FastAPI:
    """Build the service.

    Args:
        settings: How it runs.
        backend: A loaded model; without it, the one of the settings is loaded in the background
            when the app starts; `/readyz` reports when it is ready.
        load: How to load it; by default from the bundle.
        on_failure: Called, on the loading thread, if the model cannot be loaded.
        decoders: Processes that decode media; by default as many as the settings say.

    Returns:
        The app; `app.state` holds its `worker`, `settings`, `metrics`, `drain` and `bundles`.
    """
    metrics = Metrics()
    loader = load or _loader(metrics)
    decoders = decoders or _decoders(settings)
    keyring, limits = _keyring(settings), CallerLimits()
    worker = Worker(
        places=Places(settings.max_requests, limits=limits, are_shared=lambda: keyring.has_several),
        default_tokens=settings.default_tokens,
        max_tokens=settings.max_tokens,
        request_seconds=settings.request_seconds,
        checks=load_checks(settings.checks),
        metrics=metrics,
        remote_media=_remote_media(settings),
        local_media=_local_media(settings),
        decoders=decoders,
        shares_caches=settings.share_caches,
    )
    metrics.watch(worker.models.stats, worker.models.soft_token_stats)
    if decoders is not None:
        metrics.watch_decoders(decoders.stats)
    if backend is not None:
        worker.use(backend)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if backend is None:
            worker.load_in_background(lambda: loader(settings), on_failure)
        yield
        worker.close()

    app = DescribedApp(
        title="AnyMAL", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.worker = worker
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.drain = Drain()
    app.state.house = House(house_bytes(settings), are_shared=lambda: keyring.has_several)
    app.state.reading = Turns(1)  # of large bodies
    app.state.bundles = Bundles(settings=settings, load=loader, models=worker.models)
    asking = (openai, responses, ask, likelihood, score, align)
    for routes in (*asking, admin, monitoring, page, reference):
        app.include_router(routes.router)
    app.add_exception_handler(AnymalError, _report)
    app.add_exception_handler(HTTPException, _report)
    app.add_exception_handler(ClientGone, _client_gone)
    app.add_exception_handler(RequestValidationError, _refuse_form)
    key_check = partial(
        KeyCheck,
        keyring=keyring,
        limits=limits,
        failed=FailedKeys(count=metrics.failed_key),
        has_open_metrics=settings.open_metrics,
    )
    _add_edge(app, settings, key_check, is_open=keyring.is_open)
    return app


def _add_edge(
    app: FastAPI, settings: Settings, key_check: Callable[[ASGIApp], KeyCheck], *, is_open: bool
) -> None:
    """Add the middleware that a request passes on its way to a route, innermost first."""
    app.add_middleware(HeadAsGet)
    app.add_middleware(HouseLimit, house=app.state.house)
    app.add_middleware(PackedBody, max_bytes=settings.max_body_bytes)
    app.add_middleware(key_check)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, seconds=settings.body_seconds)
    if is_open:
        app.add_middleware(
            SameSite, host=settings.host, hosts=settings.hosts, origins=settings.cors_origins
        )
    app.add_middleware(DrainGate, drain=app.state.drain)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    if settings.cors_origins:
        # Outermost, so that pages can read error responses too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after", IGNORED],
        )


def _remote_media(settings: Settings) -> RemoteMedia | None:
    """Fetches media; None if no host is allowed."""
    if not settings.allow_media_hosts:
        return None
    return RemoteMedia(
        hosts=frozenset(host.lower() for host in settings.allow_media_hosts),
        allow_http=settings.allow_http_media,
        seconds=settings.media_seconds,
    )


def _local_media(settings: Settings) -> LocalMedia | None:
    """Reads media of this machine; None if no folder is allowed."""
    if settings.allow_local_media is None:
        return None
    folder = Path(settings.allow_local_media)
    if not folder.is_dir():
        raise AnymalError(
            f"setting allow_local_media: {settings.allow_local_media!r} is not a folder; name one"
        )
    return LocalMedia(folder=folder)


def _decoders(settings: Settings) -> DecoderPool | None:
    """Processes that decode; None if the service decodes in its own."""
    if settings.decode_workers == 0:
        return None
    bounds = Bounds(memory_bytes=settings.decode_memory_bytes)
    return DecoderPool(settings.decode_workers, bounds=bounds)


def _keyring(settings: Settings) -> Keyring:
    """All keys of the settings."""
    return Keyring(
        api_key=_shown(settings.api_key),
        admin_key=_shown(settings.admin_key),
        path=None if settings.keys_file is None else Path(settings.keys_file),
        is_open=settings.open,
    )


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _loader(metrics: Metrics) -> Callable[[Settings], Backend]:
    """A function that loads bundles; those with the same language model share it."""
    engines: list[SharedEngines] = []  # one, from the first load on

    def load(settings: Settings) -> Backend:
        # Imported here, on the loading thread: torch takes seconds, and the app answers meanwhile.
        from server.served.backend import load_backend
        from server.served.shared_engines import SharedEngines

        take_over_libraries()
        if not engines:
            # What was imported stays. To look through all of it would hold up everything for some
            # hundred milliseconds, whenever a request brings very many values.
            gc.freeze()
            engines.append(SharedEngines())
        return load_backend(settings, engines=engines[0], on_step=metrics.step)

    return load


async def _report(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.detail == "Not Found":  # Starlette's own
        error.detail = f"{request.method} {shorten(request.url.path)} {_NO_PATH}"
    if isinstance(error, HTTPException) and error.status_code == 405:
        # Starlette names the methods of the first route of a path only.
        path = getattr(request.scope.get("route"), "path", None)
        if methods := request.app.openapi()["paths"].get(path):
            error.headers = {"Allow": ", ".join(sorted(methods)).upper()}
    return response_for(error)


async def _client_gone(request: Request, error: Exception) -> Response:
    """The status that proxies log for a client that went away."""
    return Response(status_code=499)


async def _refuse_form(request: Request, error: Exception) -> Response:
    """Report what FastAPI found wrong with a form; `JsonRoute` reads all other bodies."""
    assert isinstance(error, RequestValidationError), type(error)
    first = error.errors()[0]
    given = dict(error.body) if isinstance(error.body, FormData) else None
    return response_for(BadRequest(explain([{**first, "loc": first["loc"][1:]}], given)))
