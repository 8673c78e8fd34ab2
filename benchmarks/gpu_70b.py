"""Training and answering at LLaMA-2-70B's shape on one card, beside transformers with peft.

Random NF4 weights are made on the card; nothing is downloaded. Figures are written after every
case, so that a run that is cut short still counts; lack of memory is a result. Begins no case after
eight minutes. With the tiny shape, seconds on a CPU show that all of it runs and nothing else.

    .venv/bin/python -m benchmarks.gpu_70b --out runs/gpu_70b.json
    .venv/bin/python -m benchmarks.gpu_70b --shape tiny --device cpu --out runs/gpu_tiny.json
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from benchmarks.gpu.decode import Answer, by_engine, by_generate, decode_speed, prompt_speed
from benchmarks.gpu.memory import CAP, attempt, largest, pass_of, plan_of, planned_bytes, release
from benchmarks.gpu.shape import Shape, num_weights, random_nf4, shape_of
from benchmarks.gpu.summary import summary
from benchmarks.gpu.train import Step, ours, plain

Row = dict[str, Any]
_TRAINERS: dict[str, Callable[..., Step]] = {"ours": ours, "transformers + peft": plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all cases share."""

    shape: Shape
    device: torch.device
    base: LlamaForCausalLM


def rows(shape: Shape, device: torch.device) -> Iterator[Row]:
    """Measure everything, the most telling first.

    Args:
        shape: What is measured.
        device: Where.

    Yields:
        A row for each case.
    """
    yield {"case": "ceilings", **attempt(lambda: ceilings(shape, device), device)}
    made: list[LlamaForCausalLM] = []

    def build() -> Row:
        made.append(random_nf4(shape.config, device))
        held = plan_of(shape, device, lora=False).held()
        return {"planned_bytes": held["llm"], "weights": num_weights(made[0])}

    yield {"case": "build", **attempt(build, device)}
    if not made:
        return
    bench = Bench(shape=shape, device=device, base=made[0])
    yield from training(bench)
    yield from answering(bench)
    yield from micro_batches(bench)


def ceilings(shape: Shape, device: torch.device) -> Row:
    """What the card can do at most: copies, and products of bfloat16 matrices."""
    source = torch.randint(256, (shape.copied,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    square = torch.randn(shape.product, shape.product, device=device, dtype=torch.bfloat16)
    copy_s = _best(lambda: target.copy_(source), device)
    product_s = _best(lambda: square @ square, device)
    return {
        "copy_bytes_per_s": round(2 * shape.copied / copy_s),  # read and written
        "product_flops": round(2 * shape.product**3 / product_s),
    }


def training(bench: Bench) -> Iterator[Row]:
    """Steps with and without LoRA, of one trainer at a time, so that peaks are its own."""
    for lora in (True, False):
        for who in _TRAINERS:
            kept: list[Step] = []
            case = {"case": "train", "lora": lora, "who": who}
            yield {**case, "tokens": bench.shape.sample, **_begun(bench, who, kept, lora=lora)}
            for tokens in bench.shape.tokens if kept else ():
                row = _trained(bench, kept[0], tokens, lora=lora, is_planned=who == "ours")
                yield {**case, "tokens": tokens, **row}
            kept.clear()
            release(bench.device)


def _begun(bench: Bench, who: str, kept: list[Step], *, lora: bool) -> Row:
    """Make a trainer, put it into the list, and let it warm up."""

    def work() -> Row:
        kept.append(_TRAINERS[who](bench.base, bench.shape, lora=lora))
        return {"loss": kept[0](1).loss}

    return attempt(work, bench.device)


def _trained(bench: Bench, step: Step, tokens: int, *, lora: bool, is_planned: bool) -> Row:
    """One step on as many whole samples as there are in so many tokens."""
    num_samples = max(1, tokens // bench.shape.sample)

    def work() -> Row:
        done = step(num_samples)
        return {"loss": round(done.loss, 4), "positions": done.positions, "run": done.run}

    row = attempt(work, bench.device)
    if "run" in row:
        row["tokens_per_s"] = round(row["run"] / row["seconds"], 2)
        row["samples_per_s"] = round(num_samples / row["seconds"], 4)
    if is_planned:
        plan = plan_of(bench.shape, bench.device, lora=lora)
        row["planned_bytes"] = planned_bytes(plan, pass_of(bench.shape, num_samples))
    return row


def answering(bench: Bench) -> Iterator[Row]:
    """Decoding at several batch sizes, and prompts of several lengths."""
    with ExitStack() as stack:
        ways: dict[str, Callable[[], Answer]] = {
            "ours": lambda: by_engine(bench.base, bench.shape, stack),
            "generate": lambda: by_generate(bench.base),
        }
        for who, make in ways.items():
            yield from _answered(bench, who, make)
            stack.close()
            release(bench.device)


def _answered(bench: Bench, who: str, make: Callable[[], Answer]) -> Iterator[Row]:
    """Load one of the ways to answer and measure it at every size; it is gone afterwards."""
    made: list[Answer] = []

    def begin() -> Row:
        made.append(make())
        return {}

    yield {"case": "ready to answer", "who": who, **attempt(begin, bench.device)}
    if not made:
        return
    for batch in bench.shape.batches:
        work = partial(decode_speed, made[0], bench.base, bench.shape, batch)
        yield {"case": "decode", "who": who, "batch": batch, **attempt(work, bench.device)}
    for length in bench.shape.prompts:
        work = partial(prompt_speed, made[0], bench.base, bench.shape, length)
        yield {"case": "prompt", "who": who, "length": length, **attempt(work, bench.device)}


def micro_batches(bench: Bench) -> Iterator[Row]:
    """The most samples of one pass that fit into `CAP`, without LoRA."""
    with _capped(bench.device):
        planned = plan_of(bench.shape, bench.device, lora=False).most_samples(
            text_tokens=bench.shape.before + bench.shape.after, max_tokens=bench.shape.sample
        )
        for who in _TRAINERS:
            kept: list[Step] = []
            case = {"case": "largest micro-batch", "who": who, "cap_bytes": CAP}
            case |= {"planned_samples": planned} if who == "ours" else {}
            row = _begun(bench, who, kept, lora=False)
            if "loss" in row:
                row = _most(bench, kept[0], guess=planned)
            yield {**case, "sample": bench.shape.sample, **row}
            kept.clear()
            release(bench.device)


def _most(bench: Bench, step: Step, *, guess: int) -> Row:
    """Search for the largest micro-batch; seconds and peak are those of its step."""
    tried: dict[int, Row] = {}

    def fits(number: int) -> bool:
        tried[number] = attempt(lambda: {"loss": step(number).loss}, bench.device)
        return "loss" in tried[number]

    found = largest(fits, guess=guess, most=bench.shape.most_samples)
    # A failure of another kind says nothing about memory, and spoils the search.
    errors = [{"error": row["error"]} for row in tried.values() if "error" in row]
    return found | tried.get(found["samples"], {}) | (errors[0] if errors else {})


def _capped(device: torch.device) -> ExitStack:
    """Let the card have `CAP` bytes at most, for a while."""
    stack = ExitStack()
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, CAP / total), device)
        stack.callback(torch.cuda.set_per_process_memory_fraction, 1.0, device)
    return stack


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the best of ten."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def device_of(kind: str) -> torch.device:
    """The device, with its number: a limit of memory needs one."""
    return torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)


def main() -> None:
    """Measure, and write the figures after every case."""
    parser = argparse.ArgumentParser(description="Measure LLaMA-2-70B's shape on one card.")
    parser.add_argument("--shape", choices=("70b", "tiny"), default="70b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=460, help="no new case after these")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_70b.json"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU is found; try --shape tiny --device cpu")
    device = device_of(options.device)
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")},
    }
    began = time.perf_counter()
    found: list[Row] = []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for row in rows(shape_of(options.shape), device):
        found.append(row)
        told = summary(found)
        results = {"shape": options.shape, "machine": machine, "summary": told, "rows": found}
        options.out.write_text(json.dumps(results, indent=2) + "\n")
        sys.stderr.write(json.dumps(row) + "\n")
        if time.perf_counter() - began > options.seconds:
            sys.stderr.write("time is up; what was measured is written\n")
            break
    sys.stdout.write(json.dumps(summary(found)) + "\n")


if __name__ == "__main__":
    main()
