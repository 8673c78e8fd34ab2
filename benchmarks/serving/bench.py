"""The figures of the service, in one command: engines side by side, the whole service, HTTP alone.

Then an imported model beside its own class. The last line is one JSON object; all figures go to a
file. Takes about five minutes on two cores.

    .venv/bin/python -m benchmarks.serving.bench --out runs/bench-serve/serve.json
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.serving.http_cost import http_cost
from benchmarks.serving.imported import imported
from benchmarks.serving.imported import num_turns as imported_turns
from benchmarks.serving.load import as_table
from benchmarks.serving.shape import save_wide_bundle
from benchmarks.serving.side_by_side import num_turns, side_by_side
from benchmarks.serving.text import text_over_http
from benchmarks.serving.whole_service import whole_service


def measure(*, rounds: int, folder: Path) -> dict[str, Any]:
    """All figures.

    Args:
        rounds: Of each part.
        folder: For logs.

    Returns:
        Figures by part, and the machine that they belong to.
    """
    began = time.perf_counter()
    with Progress(console=Console(stderr=True)) as progress, tempfile.TemporaryDirectory() as made:
        total = num_turns(rounds) + imported_turns(rounds) + 4
        bar = progress.add_task("HTTP alone", total=total)
        http = http_cost(rounds=3, folder=folder)
        progress.update(bar, advance=1, description="engines side by side")
        engines = side_by_side(rounds=rounds, tick=lambda name: progress.advance(bar))
        progress.update(bar, description="making a bundle of the wide shape")
        bundle = save_wide_bundle(Path(made))
        progress.update(bar, advance=1, description="the whole service")
        service = whole_service(bundle=bundle, rounds=3, folder=folder)
        progress.update(bar, advance=1, description="text, beside transformers serve")
        text = text_over_http(llm=Path(made) / "llm", bundle=bundle, rounds=2, folder=folder)
        progress.update(bar, advance=1, description="an imported model")
        of_a_class = imported(rounds=rounds, tick=lambda name: progress.advance(bar))
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            "torch": version("torch"),
            "transformers": version("transformers"),
            "threads": torch.get_num_threads(),
        },
        "seconds": round(time.perf_counter() - began, 1),
        "engines": engines,
        "service": service,
        "text": text,
        "http": http,
        "imported": of_a_class,
    }


def last_line(results: dict[str, Any]) -> dict[str, float]:
    """The six figures that are promised."""
    engines = results["engines"]["summary"]
    http = results["http"]["summary"]
    return {
        "throughput_vs_generate": engines["same_precision"]["throughput_vs_generate"],
        "itl_p99_over_p50": engines["itl_p99_over_p50"],
        "repeat_ttft_ratio": results["service"]["summary"]["repeat_ttft_ratio"],
        "http_overhead_ms_p50": http["http_overhead_ms_p50"],
        "http_requests_per_s": http["http_requests_per_s"],
        "imported_vs_class_generate": results["imported"]["summary"]["imported_vs_class_generate"],
    }


def show(results: dict[str, Any]) -> None:
    """The tables, and what they come to."""
    console = Console()
    sides = {"engines": "engines, in one process", "imported": "an imported model"}
    for part, title in sides.items():
        for found in results[part]["contenders"].values():
            found["median"].pop("probe_ms")  # the machine's, not the contender's
        console.print(as_table(results[part]["contenders"], title=title))
    services = {"pictures over HTTP": results["service"]["clients"]}
    services |= results["text"]["contenders"]
    console.print(as_table(services, title="services"))
    table = Table(title="what they come to")
    table.add_column("")
    table.add_column("", justify="right")
    for part in ("engines", "service", "text", "http", "imported"):
        for name, value in results[part]["summary"].items():
            rows = value.items() if isinstance(value, dict) else [("", value)]
            for own, number in rows:
                table.add_row(f"{name} {own}".strip(), str(number))
    console.print(table)


def main() -> None:
    """Measure, show, and write the figures."""
    parser = argparse.ArgumentParser(description="Measure the service.")
    parser.add_argument("--rounds", type=int, default=5, help="of the engines side by side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-serve/serve.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = measure(rounds=options.rounds, folder=options.out.parent)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    show(results)
    sys.stdout.write(json.dumps(last_line(results)) + "\n")


if __name__ == "__main__":
    main()
