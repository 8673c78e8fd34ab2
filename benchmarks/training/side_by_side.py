"""One training step of an aligner beside LLaVA, Idefics2 and BLIP-2, in turns, on the same work.

The aligner (their connector) trains between a frozen vision tower and a frozen language model:
`train_shape` has the numbers. Peers take the usual step, with logits at every position. What all
did is checked: parameters of the language model within 1%, positions, learnt words, rows that the
language model ran where no prompt can be left out, and for the aligner that is LLaVA's own, the
loss.

By default one thread, timed by the CPU seconds that it got: on a machine that is shared, waiting
for a core does not count. With more threads, seconds on the wall.

    .venv/bin/python -m benchmarks.training.side_by_side --out runs/train_side_by_side.json
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.training.ours import ours
from benchmarks.training.peers import Contender, Work, blip2, idefics2, llava
from benchmarks.training.shape import LAYOUTS, lesson
from benchmarks.turns import probe_ms, rotated, unsteady

PEERS = ("LLaVA", "Idefics2", "BLIP-2")
# Which of ours has the connector of which peer.
LIKE = {"LLaVA": "mlp", "Idefics2": "perceiver", "BLIP-2": "perceiver"}
# The keys of the last line end so for each layout; the recipes' own comes without an ending.
ENDINGS = {"prompted": "", "plain": "_without_prompt"}
_SAME_PARAMETERS, _SAME_LOSS = 0.01, 1e-3


def contenders() -> dict[str, Contender]:
    """All of them, by name; ours stand on LLaVA's tensors."""
    peer = llava()
    found = {"LLaVA": peer.contender()}
    found |= {"Idefics2": idefics2().contender(), "BLIP-2": blip2().contender()}
    for kind in ("mlp", "perceiver"):
        found[f"ours, {kind}"] = ours(peer, kind, is_cached=False)
        found[f"ours, {kind}, cached"] = ours(peer, kind, is_cached=True)
    return found


def side_by_side(
    made: dict[str, Contender], *, rounds: int, seconds: float, clock: Callable[[], float]
) -> Iterator[dict[str, Any]]:
    """Measure; the first round warms up and checks that all do the same work.

    Args:
        made: The contenders.
        rounds: Most turns of each contender in each layout.
        seconds: No round begins that would probably end later, on the wall.
        clock: What a step is timed by.

    Yields:
        Everything so far, after each round.
    """
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    work: dict[str, dict[str, Work]] = {}
    for number in range(rounds + 1):
        start = time.perf_counter()
        for layout in LAYOUTS:
            given = lesson(number, LAYOUTS[layout])
            for name in rotated(list(made), number):
                turn = _turn(made[name], given, clock)
                work.setdefault(layout, {})[name] = turn.pop("work")
                if number:
                    rows.append({"round": number, "layout": layout, "contender": name, **turn})
            _check_same(made, work[layout], runs_all=LAYOUTS[layout].before == 0)
        if number:
            yield {"work": _work(made, work), "summary": summary(rows), "rows": rows}
        now = time.perf_counter()
        if number and now - began + (now - start) > seconds:
            break


def _turn(contender: Contender, given: Any, clock: Callable[[], float]) -> dict[str, Any]:
    """One step, and a probe before it."""
    prepared = contender.prepare(given)
    probe = probe_ms()
    wall, start = time.perf_counter(), clock()
    work = contender.step(prepared)
    return {
        "seconds": round(clock() - start, 4),
        "wall_seconds": round(time.perf_counter() - wall, 4),
        "probe_ms": probe,
        "work": work,
    }


def _check_same(made: dict[str, Contender], work: dict[str, Work], *, runs_all: bool) -> None:
    """Stop where contenders did different work, or, where all must, did not run all rows."""
    reference = made["LLaVA"].language
    for name, contender in made.items():
        difference = abs(contender.language / reference - 1)
        assert difference < _SAME_PARAMETERS, f"{name} has {contender.language:,} parameters"
    for measure in ("positions", "learnt", *(["run"] if runs_all else [])):
        counts = {name: getattr(each, measure) for name, each in work.items()}
        assert len(set(counts.values())) == 1, f"{measure} differ: {counts}"
    losses = [work[name].loss for name in ("LLaVA", "ours, mlp")]
    assert abs(losses[0] / losses[1] - 1) < _SAME_LOSS, f"losses differ: {losses}"


def _work(made: dict[str, Contender], work: dict[str, dict[str, Work]]) -> dict[str, Any]:
    """What each did in its last step."""
    return {
        name: {
            "language_model_parameters": contender.language,
            "trained_parameters": contender.trained,
            **{
                layout: {
                    "positions": found[name].positions,
                    "run": found[name].run,
                    "learnt": found[name].learnt,
                    "loss": round(found[name].loss, 4),
                }
                for layout, found in work.items()
            },
        }
        for name, contender in made.items()
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Best and median seconds, and ratios of medians.

    Args:
        rows: Of every turn.

    Returns:
        By layout; times as fast as the best peer, whose connector ours has there too.
    """
    found: dict[str, Any] = {}
    for layout in dict.fromkeys(row["layout"] for row in rows):
        own = [row for row in rows if row["layout"] == layout]
        times: dict[str, list[float]] = {}
        for row in own:
            times.setdefault(row["contender"], []).append(row["seconds"])
        median = {name: statistics.median(each) for name, each in times.items()}
        best_peer = min(PEERS, key=median.__getitem__)
        like = f"ours, {LIKE[best_peer]}"
        found[layout] = {
            "seconds": {
                name: {"best": min(each), "median": round(median[name], 4)}
                for name, each in times.items()
            },
            "best_peer": best_peer,
            "ours_like_it": like,
            "on_the_fly_vs_best_peer": round(median[best_peer] / median[like], 3),
            "cached_vs_best_peer": round(median[best_peer] / median[f"{like}, cached"], 3),
            "rounds": len(times[best_peer]),
            "unsteady_turns": unsteady([row["probe_ms"] for row in own]),
        }
    return found


def last_line(results: dict[str, Any]) -> dict[str, float]:
    """The two figures that are promised, and the same without a prompt that can be left out."""
    return {
        f"{name}{ENDINGS[layout]}": figures[name]
        for layout, figures in results["summary"].items()
        for name in ("on_the_fly_vs_best_peer", "cached_vs_best_peer")
    }


def show(results: dict[str, Any], console: Console) -> None:
    """What all did, and how long it took."""
    table = Table(title="one training step, 4 samples of 128 positions")
    for column in ("", "LLM parameters", "trained"):
        table.add_column(column, justify="right" if column else "left")
    for layout in LAYOUTS:
        table.add_column(f"{layout}:\npositions, run, learnt, loss", justify="right")
        table.add_column("best, median s", justify="right")
    for name, work in results["work"].items():
        cells = [name, f"{work['language_model_parameters']:,}", f"{work['trained_parameters']:,}"]
        for layout in LAYOUTS:
            seconds = results["summary"][layout]["seconds"][name]
            cells.append("{positions}, {run}, {learnt}, {loss:.3f}".format(**work[layout]))
            cells.append("{best:.2f}, {median:.2f}".format(**seconds))
        table.add_row(*cells)
    console.print(table)
    for layout in LAYOUTS:
        figures = results["summary"][layout]
        console.print(
            f"{layout}: {figures['ours_like_it']} is {figures['on_the_fly_vs_best_peer']} times as "
            f"fast as {figures['best_peer']}, from the cache {figures['cached_vs_best_peer']} "
            f"times; {figures['rounds']} rounds, unsteady turns {figures['unsteady_turns']}"
        )


def main() -> None:
    """Measure, write the figures after every round, and show them."""
    parser = argparse.ArgumentParser(description="Compare training steps.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=150, help="no new round after these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench-train/train_side_by_side.json")
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "threads": options.threads,
        "clock": "CPU seconds" if options.threads == 1 else "seconds on the wall",
    }
    clock = time.process_time if options.threads == 1 else time.perf_counter
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for found in side_by_side(
        contenders(), rounds=options.rounds, seconds=options.seconds, clock=clock
    ):
        results = {"machine": {**machine, "load": os.getloadavg()[0]}, **found}
        options.out.write_text(json.dumps(results, indent=2) + "\n")
    console = Console()
    if not console.is_terminal:
        console.width = 144  # a pipe has no width; the default of 80 would break columns
    show(results, console)
    sys.stdout.write(json.dumps(last_line(results)) + "\n")


if __name__ == "__main__":
    main()
