"""A service for a long while: two thousand mixed requests, and what it holds before and after.

Questions about all four kinds of media, streamed or whole; some clients vanish in the middle, some
send broken files. Fails where memory grew by more than 5% after the warm-up, where descriptors or
threads are left over, or where a good request was not answered. Linux.

    .venv/bin/python -m benchmarks.serving.soak --out runs/soak/soak.json
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import Progress

from benchmarks.serving.line import PATH, Line
from benchmarks.serving.load import Tick
from benchmarks.serving.mix import Asked, requests
from benchmarks.serving.process import Served, anymal_serve, served

MOST_GROWTH = 0.05
_BROKEN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a process holds.

    Attributes:
        rss_mib: Memory.
        files: Open descriptors.
        threads: Running threads.
    """

    rss_mib: float
    files: int
    threads: int


def held_by(service: Served) -> Held:
    """What a service holds now that nobody asks anything."""
    time.sleep(1)  # connections that were closed are gone by then
    return Held(
        rss_mib=round(service.rss_bytes() / 2**20, 1),
        files=service.num_files(),
        threads=service.num_threads(),
    )


async def soak(
    url: str, asked: Sequence[Asked], *, concurrency: int, seed: int, tick: Tick
) -> Counter[str]:
    """Send requests, each in one of four ways.

    Args:
        url: Of the service.
        asked: The requests.
        concurrency: How many clients.
        seed: Of the ways.
        tick: Called after each.

    Returns:
        How often each thing happened, by way and outcome.
    """
    left = iter(asked)
    random_ = random.Random(f"{seed} ways")
    seen: Counter[str] = Counter()

    async def client() -> None:
        line = Line(url)
        for each in left:
            way = random_.choices(("stream", "whole", "vanish", "broken"), (60, 20, 12, 8))[0]
            if way == "vanish":
                await _vanish(url, each.body)
                seen["vanish"] += 1
            else:
                exchange = await line.ask(_changed(each.body, way))
                seen[f"{way}: {exchange.error or 'answered'}"] += 1
            tick()
        await line.close()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return seen


def _changed(body: bytes, way: str) -> bytes:
    if way == "stream":
        return body
    changed: dict[str, Any] = json.loads(body)
    if way == "whole":
        del changed["stream"], changed["stream_options"]
    else:
        changed["messages"] = [{"role": "user", "content": [_BROKEN]}]
    return json.dumps(changed).encode()


async def _vanish(url: str, body: bytes) -> None:
    """Ask, wait for the first bytes of the answer, and reset the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await reader.read(300)
    writer.transport.abort()


def main() -> None:
    """Soak, show what was held before and after, and say whether it grew."""
    parser = argparse.ArgumentParser(description="Ask a service for a long while.")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--warm-up", type=int, default=500, help="requests before the first look")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/soak/soak.json"))
    options = parser.parse_args()
    number = options.warm_up + options.requests
    asked = requests(number, seed=options.seed, max_tokens=8)
    began = time.perf_counter()
    with (
        Progress(console=Console(stderr=True)) as progress,
        served(anymal_serve(), log=options.out.parent / "soak.log") as service,
    ):
        bar = progress.add_task("warming up", total=number)

        def run(part: Sequence[Asked]) -> Counter[str]:
            return asyncio.run(
                soak(
                    service.url,
                    part,
                    concurrency=options.concurrency,
                    seed=options.seed,
                    tick=lambda: progress.advance(bar),
                )
            )

        run(asked[: options.warm_up])
        before = held_by(service)
        progress.update(bar, description="soaking")
        seen = run(asked[options.warm_up :])
        after = held_by(service)
    results = judged(before, after, seen, options.concurrency) | {
        "seconds": round(time.perf_counter() - began, 1)
    }
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    Console().print_json(data=results)
    sys.exit(0 if results["is_good"] else 1)


def judged(before: Held, after: Held, seen: Counter[str], concurrency: int) -> dict[str, Any]:
    """What was held and seen, and whether that is good.

    The pool of threads that requests are prepared on grows to as many as run at once.
    """
    growth = after.rss_mib / before.rss_mib - 1
    expected = {"stream: answered", "whole: answered", "vanish", "broken: 400: media_corrupt"}
    return {
        "before": {"rss_mib": before.rss_mib, "files": before.files, "threads": before.threads},
        "after": {"rss_mib": after.rss_mib, "files": after.files, "threads": after.threads},
        "growth": round(growth, 4),
        "requests": dict(seen),
        "is_good": growth <= MOST_GROWTH
        and after.files <= before.files
        and after.threads <= before.threads + concurrency
        and set(seen) <= expected,
    }


if __name__ == "__main__":
    main()
