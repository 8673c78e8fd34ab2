"""The demonstration behind `make demo`: generated recordings, asked about in three ways.

Does not measure the model (`anymal eval` does); it fails only where an answer is missing.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from anymal.cli.console import plain_console
from anymal.client import Client
from anymal.modality import MODALITIES
from anymal.playground.manifest import write_medium
from anymal.playground.sources import LazyRecords, clips, mixed, motions, scenes, sounds

FOLDER = Path("runs/demo")
LOG = "serve.log"
SEED = 2001
READY_WITHIN_S = 120.0
ANSWER_WITHIN_S = 60.0
ANYMAL = Path(sys.executable).with_name("anymal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A question about recordings that the model has never met.

    Attributes:
        question: The words.
        truth: The answer that the generator knows.
        message: Words and recordings as the REST API takes them.
        files: The recordings on disk, by modality.
    """

    question: str
    truth: str
    message: Mapping[str, Any]
    files: Mapping[str, Sequence[Path]]


def main() -> int:
    """Ask every question through the command line, over HTTP and through the Python client.

    Returns:
        0 if every answer came, else 1.
    """
    console = plain_console()
    FOLDER.mkdir(parents=True, exist_ok=True)
    # One recording of each modality, then a question that needs two.
    sources = (scenes, clips, sounds, motions, mixed)
    exhibits = [exhibit_of(make(split="heldout", size=1, seed=SEED)) for make in sources]
    with console.status("Starting the service ...") as status, served() as url:
        ways: dict[str, Callable[[Exhibit], str]] = {
            "anymal ask": ask_command_line,
            "REST": lambda exhibit: ask_rest(url, exhibit),
            "Python client": lambda exhibit: ask_client(url, exhibit),
        }
        rows = []
        for exhibit in exhibits:
            status.update(f"Asking: {exhibit.question}")
            rows.append((exhibit, {way: ask(exhibit) for way, ask in ways.items()}))
    console.print(as_table(rows))
    first = next(iter(exhibits[0].files.items()))
    console.print(f'Ask your own: .venv/bin/anymal ask "..." --{first[0]} {first[1][0]}')
    return 0 if all(text.strip() for _, answers in rows for text in answers.values()) else 1


def exhibit_of(records: LazyRecords) -> Exhibit:
    """Generate the first record, and write its recordings to `FOLDER`."""
    question, answer = records[0]["messages"]
    files: dict[str, list[Path]] = {}
    words = []
    for number, part in enumerate(question["content"]):
        if part["type"] == "text":
            words.append(part["text"].strip())
        else:
            path = write_medium(part[part["type"]], FOLDER / f"{records.name}-{number}")
            files.setdefault(modality_of(part["type"]), []).append(path)
    return Exhibit(
        question=" ".join(words), truth=str(answer["content"]), message=question, files=files
    )


def modality_of(part_type: str) -> str:
    """The modality that a kind of message part carries."""
    return next(name for name, row in MODALITIES.items() if part_type in row.part_types)


@contextmanager
def served() -> Iterator[str]:
    """A service on a free port of this machine, ready, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (FOLDER / LOG).open("w") as log:
        command = [str(ANYMAL), "serve", "--port", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, server)
            yield url
        finally:
            server.terminate()
            server.wait()


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the service answers; its log says why if it never does."""
    deadline = time.monotonic() + READY_WITHIN_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    path = FOLDER / LOG
    raise RuntimeError(f"the service did not start; {path} says:\n{path.read_text()}")


def ask_command_line(exhibit: Exhibit) -> str:
    """`anymal ask ... --json`, in a process of its own."""
    flags = [
        word
        for modality, paths in exhibit.files.items()
        for path in paths
        for word in (f"--{modality}", str(path))
    ]
    command = [str(ANYMAL), "ask", exhibit.question, *flags, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended {done.returncode}: {done.stderr}")
    return str(json.loads(done.stdout)["text"])


def ask_rest(url: str, exhibit: Exhibit) -> str:
    """Plain HTTP, as any OpenAI-shaped client sends it."""
    body = {"model": "anymal-tiny", "messages": [exhibit.message]}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=ANSWER_WITHIN_S)
    reply.raise_for_status()
    return str(reply.json()["choices"][0]["message"]["content"])


def ask_client(url: str, exhibit: Exhibit) -> str:
    """The Python client, given the files."""
    media: dict[str, Any] = {name: list(paths) for name, paths in exhibit.files.items()}
    with Client(base_url=url) as client:
        return str(client.ask(exhibit.question, **media).text)


def as_table(rows: Sequence[tuple[Exhibit, Mapping[str, str]]]) -> Table:
    """A section per question: its recordings, what is true, and what was answered each way."""
    table = Table(title="anymal-tiny on recordings it has never met")
    table.add_column("recordings and question", overflow="fold", ratio=2)
    table.add_column("asked through", no_wrap=True)
    table.add_column("answer", overflow="fold", ratio=2)
    for exhibit, answers in rows:
        names = [path.name for paths in exhibit.files.values() for path in paths]
        table.add_row(" + ".join(names), "(the truth)", exhibit.truth, style="dim")
        for number, (way, text) in enumerate(answers.items(), start=1):
            question = exhibit.question if number == 1 else ""
            table.add_row(question, way, text, end_section=number == len(answers))
    return table


if __name__ == "__main__":
    sys.exit(main())
