"""How long a newcomer waits: from a command to a first answer, and from one answer to the next.

Measures one machine and one bundle, one request at a time; says nothing about load.

    .venv/bin/python -m benchmarks.serving.first_answer --out benchmarks/first_answer.json
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from anymal.client import Client
from anymal.playground.sources import clips, mixed, motions, scenes, sounds
from server import demo


def measure(num_questions: int) -> dict[str, Any]:
    """Seconds of each wait.

    Args:
        num_questions: How many questions of each kind are asked.

    Returns:
        Figures and the machine they belong to.
    """
    demo.FOLDER.mkdir(parents=True, exist_ok=True)
    sources = {"image": scenes, "video": clips, "audio": sounds, "imu": motions, "two": mixed}
    records = {name: make(split="heldout", size=num_questions) for name, make in sources.items()}
    exhibit = demo.exhibit_of(records["image"])
    cold = seconds(lambda: demo.ask_command_line(exhibit))
    start = time.perf_counter()
    with demo.served() as url:
        ready = time.perf_counter() - start
        questions = {
            name: [record["messages"][0] for record in found] for name, found in records.items()
        }
        with httpx.Client(base_url=url, timeout=demo.ANSWER_WITHIN_S) as http:
            whole = {
                name: median([whole_answer(http, q) for q in found])
                for name, found in questions.items()
            }
        with Client(base_url=url) as client:
            first = {
                name: median([first_piece(client, q) for q in found])
                for name, found in questions.items()
            }
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "torch": version("torch"),
        },
        "num_questions": num_questions,
        "command_line_s": round(cold, 2),
        "serve_until_ready_s": round(ready, 2),
        "first_piece_median_s": first,
        "whole_answer_median_s": whole,
    }


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def whole_answer(http: httpx.Client, message: dict[str, Any]) -> float:
    """Seconds from a request to its whole answer."""
    body = {"model": "anymal-tiny", "messages": [message]}
    return seconds(lambda: http.post("/v1/chat/completions", json=body).raise_for_status())


def first_piece(client: Client, message: dict[str, Any]) -> float:
    """Seconds from a request to the first piece of its streamed answer."""
    start = time.perf_counter()
    with client.stream([message]) as stream:
        next(stream)
        return time.perf_counter() - start


def median(times: list[float]) -> float:
    """The median, in whole milliseconds."""
    return round(statistics.median(times), 3)


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description="Measure how long answers take.")
    parser.add_argument("--questions", type=int, default=10, help="questions of each kind")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    text = json.dumps(measure(options.questions), indent=2)
    options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
