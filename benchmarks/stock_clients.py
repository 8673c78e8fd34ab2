"""Stock clients against the service: `openai`, LiteLLM and LangChain, every call without tools.

Checks that calls work, not how fast or how well they are answered. The clients are no dependency of
the project; install them in an environment of their own, and run this file there:

    python -m venv runs/clients
    runs/clients/bin/pip install openai litellm langchain-openai
    runs/clients/bin/python -m benchmarks.stock_clients

It starts `.venv/bin/anymal serve` with the built-in model on a free port of this machine, or asks a
running service that `--url` names. It prints a table, and exits with 1 if a call failed.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks.clients.questions import Call
from benchmarks.clients.with_langchain import LangChainCalls
from benchmarks.clients.with_litellm import LiteLLMCalls
from benchmarks.clients.with_openai import OpenAICalls

CLIENTS = {"openai": OpenAICalls, "litellm": LiteLLMCalls, "langchain-openai": LangChainCalls}
READY_WITHIN_S = 300.0


def main() -> None:
    """Make every call, and print how each went."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="a running service, such as http://127.0.0.1:8000")
    parser.add_argument("--anymal", default=".venv/bin/anymal", help="command that serves")
    parser.add_argument("--client", choices=CLIENTS, action="append", help="only this one")
    given = parser.parse_args()
    if given.url is not None:
        failed = ask_all(given.url, given.client or list(CLIENTS))
    else:
        with service(given.anymal) as url:
            failed = ask_all(url, given.client or list(CLIENTS))
    sys.exit(1 if failed else 0)


def ask_all(url: str, clients: list[str]) -> int:
    """Make the calls of some clients.

    Args:
        url: Of the service.
        clients: Names of `CLIENTS`.

    Returns:
        How many failed.
    """
    with urllib.request.urlopen(f"{url}/v1/models") as response:
        model = json.load(response)["data"][0]["id"]
    num_calls = num_failed = 0
    with asyncio.Runner() as runner:  # one loop: clients keep their connections in it
        for client in clients:
            write(f"\n{client} {version(client)}, model {model}")
            for name, call in CLIENTS[client](f"{url}/v1", model).calls().items():
                start = time.perf_counter()
                error = error_of(call, runner)
                num_calls += 1
                num_failed += error is not None
                write(f"  {name:36} {time.perf_counter() - start:6.2f} s  {error or 'ok'}")
    write(f"\n{num_calls - num_failed} of {num_calls} calls passed")
    return num_failed


def error_of(call: Call, runner: asyncio.Runner) -> str | None:
    """What a call raises, in one line; None if it is answered."""
    try:
        answer = call()
        if asyncio.iscoroutine(answer):
            runner.run(answer)
    except Exception as error:  # whatever a client raises is a row of the table
        return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
    return None


@contextmanager
def service(command: str) -> Iterator[str]:
    """A service of the built-in model on a free port of this machine; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            [command, "serve", "--port", str(port)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", Path(log.name))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Wait until the model is loaded."""
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/readyz").close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    sys.exit(f"the service did not become ready; its log:\n{log.read_text()}")


def write(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
