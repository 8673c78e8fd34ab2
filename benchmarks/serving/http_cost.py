"""What HTTP costs: the service around a free engine, one request at a time and several at once.

Added latency: the time to the first piece of a streamed answer, less that of the engine alone.
Requests a second: answers that are not streamed, over connections that are kept.
"""

import asyncio
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.serving.figures import figures, ttft_of
from benchmarks.serving.line import Exchange
from benchmarks.serving.load import closed_loop, medians
from benchmarks.serving.mix import Asked
from benchmarks.serving.process import served
from benchmarks.serving.shape import NUM_CLIENTS
from benchmarks.serving.stub import bare_ttft_ms

NUM_LATENCY = 200
NUM_THROUGHPUT = 1000
_MESSAGES = [{"role": "user", "content": "What colour is the round one on the left?"}]


def http_cost(*, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure.

    Args:
        rounds: How often.
        folder: For the service's log.

    Returns:
        Figures of both cases, and what they show together under `summary`.
    """
    body = {"messages": _MESSAGES, "max_tokens": 8}
    whole = Asked(kind="text", body=json.dumps(body).encode())
    streamed = Asked(kind="text", body=json.dumps({**body, "stream": True}).encode())
    command = [sys.executable, "-m", "benchmarks.serving.stub"]
    latency: list[list[Exchange]] = []
    throughput: list[list[Exchange]] = []
    with served(command, log=folder / "stub.log") as service:
        asyncio.run(closed_loop(service.url, [streamed, whole] * 50, concurrency=2))  # warms up
        for _ in range(rounds):
            run = closed_loop(service.url, [streamed] * NUM_LATENCY, concurrency=1)
            latency.append(asyncio.run(run))
            run = closed_loop(service.url, [whole] * NUM_THROUGHPUT, concurrency=NUM_CLIENTS)
            throughput.append(asyncio.run(run))
    bare = bare_ttft_ms()
    ttfts = [statistics.median(ttft_of(e) for e in exchanges) for exchanges in latency]
    busy = [figures(exchanges) for exchanges in throughput]
    return {
        "alone": medians([figures(exchanges) for exchanges in latency]),
        "busy": medians(busy),
        "summary": {
            "http_overhead_ms_p50": round(statistics.median(ttfts) - bare, 3),
            "http_requests_per_s": medians(busy)["requests_per_s"],
            "bare_engine_ttft_ms_p50": round(bare, 4),
        },
    }
