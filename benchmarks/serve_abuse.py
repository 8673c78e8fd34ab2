"""A service under attack: many ways to harm it at once, and four honest clients beside them.

The honest clients have a key of their own. They ask first alone, then while another key attacks in
every way of `benchmarks.serving.attacks`. Fails where an honest client got an error other than 429,
where its slowest answers took more than five times as long as before, where memory, descriptors or
processes stayed, or where `/healthz` was kept waiting. Bounded, on loopback. Linux.

    .venv/bin/python -m benchmarks.serve_abuse --out benchmarks/results/serve_abuse.json
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from benchmarks.serving.attackers import Outcomes, attacking
from benchmarks.serving.attacks import all_attacks
from benchmarks.serving.figures import figures
from benchmarks.serving.line import Exchange, Line
from benchmarks.serving.mix import Asked, requests
from benchmarks.serving.process import Served, anymal_serve, rss_bytes, served
from server.edge.key_file import KeyEntry, digest_of, new_key, new_salt, write_key_file

HONEST_CLIENTS = 4
MOST_GROWTH = 0.05
MOST_SLOWER = 5.0
MOST_STUCK_S = 0.25
_SETTLES_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the service and its children hold.

    Attributes:
        rss_mib: Memory.
        files: Open descriptors of the service itself.
        threads: Running threads of the service itself.
        processes: The service and its children.
    """

    rss_mib: float
    files: int
    threads: int
    processes: int


def held_by(service: Served) -> Held:
    """What a service holds now."""
    children = service.children()
    return Held(
        rss_mib=round((service.rss_bytes() + sum(map(rss_bytes, children))) / 2**20, 1),
        files=service.num_files(),
        threads=service.num_threads(),
        processes=1 + len(children),
    )


async def honest(url: str, key: str, asked: Iterator[Asked], seconds: float) -> list[Exchange]:
    """Four clients that ask one question after the other for so many seconds."""
    exchanges: list[Exchange] = []
    until = time.monotonic() + seconds

    async def client() -> None:
        line = Line(url, key)
        while time.monotonic() < until:
            each = next(asked)
            exchanges.append(await line.ask(each.body, kind=each.kind))
        await line.close()

    await asyncio.gather(*(client() for _ in range(HONEST_CLIENTS)))
    return exchanges


async def stuck(url: str, ends: "asyncio.Future[Any]") -> list[float]:
    """How long each of many calls of `/healthz` took, until something ends; in seconds."""
    waits: list[float] = []
    async with httpx.AsyncClient(timeout=120) as http:
        while not ends.done():
            began = time.perf_counter()
            await http.get(f"{url}/healthz")
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.05)
    return waits


async def under_attack(
    url: str, key: str, asked: Iterator[Asked], seconds: float
) -> tuple[list[Exchange], list[float]]:
    """The honest clients' exchanges, and the waits of `/healthz`."""
    asking = asyncio.ensure_future(honest(url, key, asked, seconds))
    waits = await stuck(url, asking)
    return await asking, waits


def _keys(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Make keys; returns them by name."""
    keys = {name: new_key() for name in names}
    salts = {name: new_salt() for name in names}
    entries = [
        KeyEntry(name=name, salt=salts[name].hex(), sha256=digest_of(key, salts[name]).hex())
        for name, key in keys.items()
    ]
    write_key_file(path, entries)
    return keys


def settled(service: Served, before: Held) -> Held:
    """What is held once no more is given back, or after a while."""
    until = time.monotonic() + _SETTLES_WITHIN_S
    while True:
        held = held_by(service)
        if _is_back(before, held) or time.monotonic() > until:
            return held
        time.sleep(2)


def _is_back(before: Held, after: Held) -> bool:
    return (
        after.rss_mib <= before.rss_mib * (1 + MOST_GROWTH)
        and after.files <= before.files
        and after.processes <= before.processes
    )


def judged(
    quiet: list[Exchange], attacked: list[Exchange], waits: list[float], held: dict[str, Held]
) -> dict[str, Any]:
    """The figures, and whether they are good."""
    alone, beside = figures(quiet), figures(attacked)
    slower = beside["e2e_ms"]["p99"] / alone["e2e_ms"]["p99"]
    errors = {name: number for name, number in beside["errors"].items() if name[:3] != "429"}
    return {
        "quiet": alone,
        "attacked": beside,
        "honest_p99_ratio": round(slower, 2),
        "healthz_longest_s": round(max(waits), 3),
        "held": {name: asdict(each) for name, each in held.items()},
        "growth": round(held["after"].rss_mib / held["before"].rss_mib - 1, 4),
        "is_good": not errors
        and slower <= MOST_SLOWER
        and max(waits) <= MOST_STUCK_S
        and _is_back(held["before"], held["after"]),
    }


def main() -> None:
    """Ask, attack, and say what the honest clients noticed."""
    parser = argparse.ArgumentParser(description="Attack a service beside honest clients.")
    parser.add_argument("--seconds", type=float, default=180.0, help="of the attack")
    parser.add_argument("--quiet", type=float, default=40.0, help="seconds before it")
    parser.add_argument("--only", help="attacks whose name holds this text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/abuse/abuse.json"))
    options = parser.parse_args()
    attacks = [each for each in all_attacks() if (options.only or "") in each.name]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        keys = _keys(path, ("honest", "attacker"))
        log = Path("runs/abuse/serve.log")  # a log is no figure to keep
        with served(anymal_serve("--keys-file", str(path)), log=log) as service:
            asked = itertools.cycle(requests(400, seed=options.seed, max_tokens=16))
            asyncio.run(honest(service.url, keys["honest"], asked, options.quiet / 2))
            console.print(f"four clients alone, {options.quiet:g} s")
            quiet = asyncio.run(honest(service.url, keys["honest"], asked, options.quiet))
            held = {"before": held_by(service)}
            console.print(f"beside {len(attacks)} kinds of attack, {options.seconds:g} s")
            outcomes: Outcomes
            with attacking(service.url, keys["attacker"], attacks) as outcomes:
                attacked, waits = asyncio.run(
                    under_attack(service.url, keys["honest"], asked, options.seconds)
                )
                held["during"] = held_by(service)
            held["after"] = settled(service, held["before"])
    results = judged(quiet, attacked, waits, held) | {"attacks": outcomes}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    Console().print_json(data=results)
    sys.exit(0 if results["is_good"] else 1)


if __name__ == "__main__":
    main()
