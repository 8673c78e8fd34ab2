"""The app, put together: routes, worker, gate, and how errors are told.

Does not listen on a port and reads no environment; `cli` does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from anymal import __version__
from anymal.errors import AnymalError
from anymal.protocol.explain import BodyProblem, explain
from server.answering.disconnect import ClientGone
from server.answering.worker import Backend, Worker
from server.edge.body_limit import BodyLimit
from server.edge.caller_limits import CallerLimits
from server.edge.drain import Drain, DrainGate
from server.edge.key_check import Door
from server.edge.keys import Keyring
from server.edge.request_log import Gate
from server.errors import BadRequest, response_for
from server.metrics import Metrics
from server.openapi import DescribedApp
from server.remote_media import RemoteMedia
from server.routes.admin import router as admin_router
from server.routes.align import router as align_router
from server.routes.ask import router as ask_router
from server.routes.metrics import router as metrics_router
from server.routes.openai import router
from server.routes.page import router as page_router
from server.safety import load_checks
from server.served.bundles import Bundles
from server.settings import Settings

if TYPE_CHECKING:  # the app starts without torch
    from server.served.shared_engines import SharedEngines


def create_app(
    settings: Settings,
    backend: Backend | None = None,
    *,
    load: Callable[[Settings], Backend] | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the service.

    Args:
        settings: How it runs.
        backend: A loaded model; without it, the one of the settings is loaded in the background
            when the app starts, and `/readyz` tells when it is there.
        load: How to load it; by default from the bundle.
        on_failure: Called, on the loading thread, if the model cannot be loaded.

    Returns:
        The app; `app.state` holds its `worker`, `settings`, `metrics`, `drain` and `bundles`.
    """
    metrics = Metrics()
    loader = load or _loader(metrics)
    worker = Worker(
        max_requests=settings.max_requests,
        default_tokens=settings.default_tokens,
        max_tokens=settings.max_tokens,
        request_seconds=settings.request_seconds,
        checks=load_checks(settings.checks),
        metrics=metrics,
        remote_media=_remote_media(settings),
    )
    metrics.watch(worker.models.stats, worker.models.soft_token_stats)
    if backend is not None:
        worker.use(backend)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if backend is None:
            worker.load_in_background(lambda: loader(settings), on_failure)
        yield
        worker.close()

    app = DescribedApp(title="AnyMAL", version=__version__, lifespan=lifespan)
    app.state.worker = worker
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.drain = Drain()
    app.state.bundles = Bundles(settings=settings, load=loader, models=worker.models)
    app.include_router(router)
    app.include_router(ask_router)
    app.include_router(align_router)
    app.include_router(admin_router)
    app.include_router(metrics_router)
    app.include_router(page_router)
    app.add_exception_handler(AnymalError, _tell)
    app.add_exception_handler(HTTPException, _tell)
    app.add_exception_handler(ClientGone, _tell_nobody)
    app.add_exception_handler(RequestValidationError, _tell_problem)
    _add_edge(app, settings)
    return app


def _add_edge(app: FastAPI, settings: Settings) -> None:
    """What a request passes on its way to a route; the innermost is added first."""
    app.add_middleware(
        Door,
        keyring=Keyring(
            api_key=_shown(settings.api_key),
            admin_key=_shown(settings.admin_key),
            path=None if settings.keys_file is None else Path(settings.keys_file),
        ),
        limits=CallerLimits(),
        has_open_metrics=settings.open_metrics,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, seconds=settings.body_seconds)
    app.add_middleware(DrainGate, drain=app.state.drain)
    app.add_middleware(Gate, metrics=app.state.metrics)
    if settings.cors_origins:
        # Outermost, so that pages can read refusals too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )


def _remote_media(settings: Settings) -> RemoteMedia | None:
    """What fetches media, where a host is allowed."""
    if not settings.allow_media_hosts:
        return None
    return RemoteMedia(
        hosts=frozenset(host.lower() for host in settings.allow_media_hosts),
        allow_http=settings.allow_http_media,
        seconds=settings.media_seconds,
    )


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _loader(metrics: Metrics) -> Callable[[Settings], Backend]:
    """Loads bundles; those with the same language model share it."""
    engines: list[SharedEngines] = []  # one, from the first load on

    def load(settings: Settings) -> Backend:
        # Imported here, on the loading thread: torch takes seconds, and the app answers meanwhile.
        from server.served.backend import load_backend
        from server.served.shared_engines import SharedEngines

        if not engines:
            engines.append(SharedEngines())
        return load_backend(settings, engines=engines[0], on_step=metrics.step)

    return load


async def _tell(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        # Starlette names the methods of the first route of a path only.
        path = getattr(request.scope.get("route"), "path", None)
        if methods := request.app.openapi()["paths"].get(path):
            error.headers = {"Allow": ", ".join(sorted(methods)).upper()}
    return response_for(error)


async def _tell_nobody(request: Request, error: Exception) -> Response:
    """The status that proxies log for a client that went away."""
    return Response(status_code=499)


async def _tell_problem(request: Request, error: Exception) -> Response:
    """What FastAPI found wrong with a body, in our words."""
    assert isinstance(error, RequestValidationError), type(error)
    problems = [{**item, "loc": item["loc"][1:]} for item in error.errors()]
    given = dict(error.body) if isinstance(error.body, FormData) else error.body
    problem = explain(problems, given)
    if not isinstance(given, dict):
        problem = BodyProblem(
            message=(
                "the body is not a JSON object; send one with 'Content-Type: application/json'"
            ),
            param=None,
            code="invalid_json",
        )
    return response_for(BadRequest(problem))
