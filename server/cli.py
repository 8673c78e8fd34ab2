"""`anymal serve`: settings from flags and environment, the app on a port.

Does not define the service; `app` does. Light until it runs.
"""

import logging
from typing import Annotated

import typer


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

    Every flag, and the limits that have none, can be set by environment variables: ANYMAL_PORT,
    ANYMAL_API_KEY, ANYMAL_MAX_BODY_BYTES and so on. Port 8000 on 127.0.0.1 by default.
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
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    server.run()
    if app.state.worker.failure is not None:
        raise app.state.worker.failure
