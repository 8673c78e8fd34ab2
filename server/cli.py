"""`anymal serve`: settings from flags and environment, the app on a port.

Does not define the service; `app` does. Light until it runs.
"""

import logging
import socket
from typing import Annotated

import typer

from anymal.errors import AnymalError

logger = logging.getLogger(__name__)

# Seconds that running answers get to end when the service is told to stop.
GRACE_S = 5


def serve(
    bundle: Annotated[str | None, typer.Option(help="Bundle folder, or tiny.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Key that requests must carry.", show_envvar=False)
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device: cpu or cuda.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of the language model: nf4, int8, bf16 or fp32.")
    ] = None,
) -> None:
    """Serve a bundle over HTTP, in the shape of OpenAI's chat API.

    Every flag, and limits that have none, can also be environment variables:
    ANYMAL_PORT, ANYMAL_API_KEY, ANYMAL_MAX_BODY_BYTES and so on; see docs/rest.md.
    By default the built-in model is served at 127.0.0.1, port 8000.
    """
    import uvicorn

    from server.app import create_app
    from server.settings import read_settings

    given = {
        "bundle": bundle,
        "host": host,
        "port": port,
        "api_key": api_key,
        "device": device,
        "precision": precision,
    }
    settings = read_settings({key: value for key, value in given.items() if value is not None})
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    def stop() -> None:
        server.should_exit = True

    app = create_app(settings, on_failure=stop)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S
    )
    server = uvicorn.Server(config)
    with _listener(settings.host, settings.port) as listener:
        address = f"http://{settings.host}:{listener.getsockname()[1]}"
        logger.info("listening on %s, loading %s", address, settings.bundle)
        server.run(sockets=[listener])
    if app.state.worker.failure is not None:
        raise app.state.worker.failure


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens: opened here, so that a taken port is told in one line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise AnymalError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); "
            "choose another with --host and --port"
        ) from error
