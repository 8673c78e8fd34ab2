"""Words over HTTP: this service beside `transformers serve`, which batches text and nothing else.

The same model folder, the same requests in the same turns; no prompt comes twice. Who has no turn
is stopped by a signal: `transformers serve` keeps cores busy while nobody asks.
"""

import asyncio
import json
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.serving.figures import figures
from benchmarks.serving.load import closed_loop, medians
from benchmarks.serving.mix import WORDS, Asked
from benchmarks.serving.process import Served, anymal_serve, served
from benchmarks.serving.shape import NUM_CLIENTS, NUM_NEW, STAGGER_S
from benchmarks.turns import rotated

NUM_WORDS = 100
OURS, PLAIN, CONTINUOUS = (
    "text over HTTP",
    "transformers serve",
    "transformers serve --continuous-batching",
)


def text_over_http(*, llm: Path, bundle: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure.

    Args:
        llm: The language model's folder.
        bundle: The bundle around the same model.
        rounds: Turns of each contender, after one that warms up.
        folder: For logs.

    Returns:
        Figures by contender, and ratios of throughput under `summary`.
    """
    peer = [str(Path(sys.executable).with_name("transformers")), "serve", str(llm)]
    peer += ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1"]
    offline = {"HF_HUB_OFFLINE": "1"}
    found: dict[str, list[dict[str, Any]]] = {OURS: [], PLAIN: [], CONTINUOUS: []}
    with ExitStack() as stack:

        def start(command: list[str], log: str, ready: str) -> Served:
            running = served(command, log=folder / log, ready=ready, environment=offline)
            service = stack.enter_context(running)
            with service.awake():
                return service

        ours = anymal_serve("--bundle", str(bundle), "--precision", "fp32")
        continuous = [*peer, "--continuous-batching"]
        services = {
            OURS: start(ours, "text.log", "/readyz"),
            PLAIN: start(peer, "transformers.log", "/health"),
            CONTINUOUS: start(continuous, "transformers-cb.log", "/health"),
        }
        for number in range(rounds + 1):
            for name in rotated(list(services), number):
                service = services[name]
                asked = _asked(None if name == OURS else str(llm), seed=number)
                asked = asked if number else asked[:2]
                with service.awake():
                    run = closed_loop(
                        service.url, asked, concurrency=NUM_CLIENTS, stagger_s=STAGGER_S
                    )
                    row = figures(asyncio.run(run))
                if number:
                    found[name].append(row)
    contenders = {name: {"median": medians(rows), "rounds": rows} for name, rows in found.items()}
    tokens = {name: each["median"]["output_tokens_per_s"] for name, each in contenders.items()}
    return {
        "contenders": contenders,
        "summary": {
            "throughput_vs_transformers_serve": round(tokens[OURS] / tokens[PLAIN], 2),
            "throughput_vs_continuous_batching": round(tokens[OURS] / tokens[CONTINUOUS], 2),
        },
    }


def _asked(model: str | None, *, seed: int) -> list[Asked]:
    """One request of each client."""
    random_ = random.Random(f"{seed} words")
    bodies = (
        {
            "messages": [
                {"role": "user", "content": " ".join(random_.choices(WORDS, k=NUM_WORDS))}
            ],
            "max_tokens": NUM_NEW,
            "stream": True,
            **({"stream_options": {"include_usage": True}} if model is None else {"model": model}),
        }
        for _ in range(NUM_CLIENTS)
    )
    return [Asked(kind="text", body=json.dumps(body).encode()) for body in bodies]
