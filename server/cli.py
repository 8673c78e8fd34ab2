"""`anymal serve`: settings from flags and environment, the app on a port.

Does not define the service; `app` does. Light until it runs.
"""

import logging
import socket
import sys
from typing import Annotated

import typer

from anymal.errors import AnymalError

logger = logging.getLogger(__name__)

# How long a thread may keep Python's lock while others wait for it. A step of the engine takes the
# lock hundreds of times, and at the usual 5 ms a large body that is being read delays all answers.
_TURN_S = 1e-4


def serve(
    bundle: Annotated[
        str | None, typer.Option(help="Bundle folder, ORG/NAME[@REV] of the Hub, or tiny.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Key that requests must carry.", show_envvar=False)
    ] = None,
    keys_file: Annotated[
        str | None, typer.Option(help="File of hashed keys; see: anymal keys --help.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device: cpu or cuda.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Of the language model: nf4, int8, bf16, fp32 or int4 (CPU)."),
    ] = None,
    merge_lora: Annotated[bool | None, typer.Option(help="Merge LoRA into the weights.")] = None,
    allow_hub: Annotated[
        bool | None,
        typer.Option("--allow-hub", help="Download bundles and their parts from the Hub."),
    ] = None,
    local_models: Annotated[
        str | None,
        typer.Option(help="Folder of checkpoints that bundles may name by absolute path."),
    ] = None,
    open: Annotated[
        bool | None, typer.Option(help="Answer without a key, also from other machines.")
    ] = None,
    generate_key: Annotated[
        bool | None, typer.Option(help="Where no keys are set, make one and print it.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Web origin whose pages may send requests; repeatable.")
    ] = None,
    allow_media_host: Annotated[
        list[str] | None, typer.Option(help="Host that media may be fetched from; repeatable.")
    ] = None,
    allow_local_media: Annotated[
        str | None, typer.Option(help="Folder whose files requests may name as file: URLs.")
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(help="Safety check, such as server.safety:WordList?words=a,b; repeatable."),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="json or text.")] = None,
) -> None:
    """Serve a bundle over HTTP, in the shape of OpenAI's chat API.

    Every flag, and limits that have none, can also be environment variables:
    ANYMAL_PORT, ANYMAL_API_KEY, ANYMAL_MAX_BODY_BYTES and so on; see docs/serving.md.
    By default the built-in model is served at 127.0.0.1, port 8000.
    """
    from server.exposure import check_exposure, tell_of_short_keys, with_key
    from server.logs import configure_logging
    from server.settings import read_settings

    given = {
        "bundle": bundle,
        "host": host,
        "port": port,
        "api_key": api_key,
        "keys_file": keys_file,
        "device": device,
        "precision": precision,
        "merge_lora": merge_lora,
        "allow_hub": allow_hub or None,
        "local_models": local_models,
        "open": open,
        "generate_key": generate_key,
        "cors_origins": cors_origin or None,
        "allow_media_hosts": allow_media_host or None,
        "allow_local_media": allow_local_media,
        "checks": check or None,
        "log_format": log_format,
    }
    settings = read_settings({key: value for key, value in given.items() if value is not None})
    settings = with_key(settings, show=typer.echo)
    check_exposure(settings)
    configure_logging(settings.log_format, with_error_text=settings.log_error_text)
    tell_of_short_keys(settings)

    from server.app import create_app
    from server.edge.connection import notice_dead_lines
    from server.heap import map_large_blocks
    from server.running import Service

    def stop() -> None:
        service.should_exit = True

    app = create_app(settings, on_failure=stop)
    service = Service(app, settings)
    _raise_file_limit()
    map_large_blocks()
    sys.setswitchinterval(_TURN_S)
    with _listener(settings.host, settings.port) as listener:
        notice_dead_lines(listener, seconds=settings.stall_seconds)
        address = f"http://{settings.host}:{listener.getsockname()[1]}"
        logger.info("listening on %s, loading %s", address, settings.bundle)
        service.run(sockets=[listener])
    if app.state.worker.failure is not None:
        raise app.state.worker.failure


def _listener(host: str, port: int) -> socket.socket:
    """A listening socket, opened here so that a port in use is reported in one line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise AnymalError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); "
            "choose another with --host and --port"
        ) from error


def _raise_file_limit() -> None:
    """Every connection is an open file, and the usual soft limit is far below the hard one."""
    if sys.platform == "win32":  # where there is no such limit
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
