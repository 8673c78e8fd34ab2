"""A load for any service of the OpenAI shape: so many clients at once, or arrivals a second.

Contenders take turns in rounds, with the same requests. Answers are streamed; the time to the first
piece counts from when a request was due, so that a service which keeps the sender waiting does not
look fast.

    .venv/bin/python -m benchmarks.serving.load --url http://127.0.0.1:8000 --concurrency 8
    .venv/bin/python -m benchmarks.serving.load --url http://127.0.0.1:8000 --rate 20 --requests 200
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.serving.figures import Objective, figures
from benchmarks.serving.line import Exchange, Line
from benchmarks.serving.mix import SHARES, Asked, read_shares, requests
from benchmarks.turns import rotated

Tick = Callable[[], object]


async def closed_loop(
    url: str,
    asked: Sequence[Asked],
    *,
    concurrency: int,
    stagger_s: float = 0.0,
    key: str | None = None,
    tick: Tick = lambda: None,
) -> list[Exchange]:
    """So many clients, each with one request at a time.

    Args:
        url: Of the service.
        asked: What the clients take from, in order.
        concurrency: How many clients.
        stagger_s: Seconds between the first requests of two clients.
        key: API key.
        tick: Called after each answer.

    Returns:
        The exchanges, in the order in which they ended.
    """
    left = iter(asked)
    exchanges: list[Exchange] = []

    async def client(number: int) -> None:
        await asyncio.sleep(number * stagger_s)
        line = Line(url, key)
        for each in left:
            exchanges.append(await line.ask(each.body, kind=each.kind))
            tick()
        await line.close()

    await asyncio.gather(*(client(number) for number in range(concurrency)))
    return exchanges


async def open_loop(
    url: str,
    asked: Sequence[Asked],
    *,
    rate: float,
    seed: int = 0,
    key: str | None = None,
    tick: Tick = lambda: None,
) -> list[Exchange]:
    """Arrivals that do not wait for answers.

    Args:
        url: Of the service.
        asked: What is sent, in order.
        rate: Mean arrivals a second; the gaps are drawn from an exponential distribution.
        seed: Of the gaps.
        key: API key.
        tick: Called after each answer.

    Returns:
        The exchanges, in the order of their arrival.
    """
    random_ = random.Random(f"{seed} arrivals")
    idle: list[Line] = []

    async def send(each: Asked, due: float) -> Exchange:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        line = idle.pop() if idle else Line(url, key)
        exchange = await line.ask(each.body, kind=each.kind, due=due)
        idle.append(line)
        tick()
        return exchange

    due = time.perf_counter()
    arrivals = []
    for each in asked:
        due += random_.expovariate(rate)
        arrivals.append(send(each, due))
    exchanges = await asyncio.gather(*arrivals)
    for line in idle:
        await line.close()
    return list(exchanges)


def compare(
    urls: dict[str, str], asked: Sequence[Asked], options: argparse.Namespace
) -> dict[str, Any]:
    """Load each contender in each round.

    Args:
        urls: By name.
        asked: The requests; every contender gets all of them in each round.
        options: The command line's.

    Returns:
        Figures by contender: those of each round, and the medians.
    """
    objective = Objective.read(options.objective) if options.objective else None
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in urls}
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=options.rounds * len(urls) * len(asked))
        for number in range(options.rounds):
            for name in rotated(list(urls), number):
                progress.update(bar, description=f"round {number + 1}, {name}")
                run = _run(urls[name], asked, options, lambda: progress.advance(bar))
                rounds[name].append(figures(asyncio.run(run), objective))
    return {name: {"median": medians(found), "rounds": found} for name, found in rounds.items()}


def _run(url: str, asked: Sequence[Asked], options: argparse.Namespace, tick: Tick) -> Any:
    if options.rate:
        return open_loop(
            url, asked, rate=options.rate, seed=options.seed, key=options.key, tick=tick
        )
    return closed_loop(
        url,
        asked,
        concurrency=options.concurrency,
        stagger_s=options.stagger,
        key=options.key,
        tick=tick,
    )


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the rounds; errors are added up."""
    found: dict[str, Any] = {}
    for name, first in rounds[0].items():
        values = [each[name] for each in rounds]
        if name == "errors":
            types = {type_ for each in values for type_ in each}
            found[name] = {t: sum(each.get(t, 0) for each in values) for t in sorted(types)}
        elif isinstance(first, dict):
            found[name] = medians(values)
        else:
            known = [value for value in values if value is not None]
            found[name] = round(statistics.median(known), 3) if known else None
    return found


def as_table(results: dict[str, Any], title: str = "contenders") -> Table:
    """The medians side by side."""
    table = Table(title=f"{title}: medians over rounds")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    shown = [result["median"] for result in results.values()]
    for key, first in shown[0].items():
        if key == "errors":
            table.add_row(key, *(str(sum(each[key].values())) for each in shown))
        elif isinstance(first, dict):
            for part in first:
                table.add_row(f"{key} {part}", *(str(each[key][part]) for each in shown))
        else:
            table.add_row(key, *(str(each[key]) for each in shown))
    return table


def _named(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    return (name, url) if equals and not name.startswith("http") else (text, text)


def main() -> None:
    """Load the contenders, show the table, and write the figures."""
    parser = argparse.ArgumentParser(description="Load services of the OpenAI shape.")
    parser.add_argument(
        "--url", action="append", required=True, type=_named, help="URL or NAME=URL; repeatable"
    )
    parser.add_argument("--concurrency", type=int, default=8, help="clients, in the closed loop")
    parser.add_argument("--stagger", type=float, default=0.0, help="seconds between clients")
    parser.add_argument("--rate", type=float, help="arrivals a second: the open loop instead")
    parser.add_argument("--requests", type=int, default=64, help="of each round and contender")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shares", default=",".join(f"{k}:{v}" for k, v in SHARES.items()))
    parser.add_argument("--media", type=int, default=8, help="different media of each kind")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--objective", help="such as ttft:500,itl:50 (milliseconds), for goodput")
    parser.add_argument("--model", help="to ask for; by default none is named")
    parser.add_argument("--key", help="API key")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    asked = requests(
        options.requests,
        shares=read_shares(options.shares),
        seed=options.seed,
        num_media=options.media,
        max_tokens=options.max_tokens,
        options={"model": options.model} if options.model else None,
    )
    results = compare(dict(options.url), asked, options)
    Console().print(as_table(results))
    if options.out is not None:
        settings = {key: value for key, value in vars(options).items() if key not in ("out", "key")}
        text = json.dumps({"settings": settings, "contenders": results}, indent=2, default=str)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
