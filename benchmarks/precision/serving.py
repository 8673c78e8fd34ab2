"""How a language model is best held on a CPU to answer: nf4, fp32, bf16, int8 or int4.

Three questions: how fast single layers are, how fast whole models decode, and whether the built-in
model gives the same greedy answers (`text_loss.py` asks a model of your own). Contenders take
turns, and a matrix product that never changes runs between them. Says nothing about engines or
requests; the loop here is the plainest one.

One thread, timed by the CPU seconds that it got: on a machine that is shared, waiting for a core
does not count. The figures are for comparing with each other, not for promising a speed.

    .venv/bin/python -m benchmarks.precision.serving --out benchmarks/results/serving_precision.json
"""

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from anymal.bundle.load import load_bundle
from anymal.engine.sampling import Sampling
from anymal.evaluation.answers import answer_all, start_batch_assistant
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.lora import LoraOptions
from anymal.llm.merge_lora import merge
from anymal.llm.weight_only import WEIGHT_ONLY, WeightOnlyLinear
from anymal.playground.sources import clips, motions, scenes, sounds
from anymal.recipe.file import TINY
from benchmarks.serving.shape import wide_llama

SHAPES = ((192, 192), (768, 768), (2048, 768), (2048, 2048))  # N, K
ROWS = (1, 8, 24, 40, 64, 256)
BATCHES = (1, 8)
HELD = ("nf4", "fp32", "bf16", "int8", "int4")
PROMPT = 64


# --- taking turns -------------------------------------------------------------------------------


def turns(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median CPU seconds of each contender, and of the probe that ran beside them.

    Args:
        contenders: What to time, by name.
        rounds: How often each takes its turn.

    Returns:
        Seconds by name; `probe` is the product of two 512 x 512 matrices.
    """
    left, right = torch.randn(512, 512), torch.randn(512, 512)
    each: dict[str, Callable[[], object]] = {"probe": lambda: left @ right, **contenders}
    times: dict[str, list[float]] = {name: [] for name in each}
    for number in range(rounds + 1):
        for name, work in each.items():
            start = time.thread_time()
            work()
            if number:  # the first round warms up
                times[name].append(time.thread_time() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def repeated(work: Callable[[], object], times: int) -> Callable[[], None]:
    """The work done several times, for a clock too coarse for one."""

    def run() -> None:
        for _ in range(times):
            work()

    return run


# --- layers -------------------------------------------------------------------------------------


def layers(rounds: int) -> Iterator[dict[str, Any]]:
    """One row for each shape and number of rows."""
    for (out, width), num_rows in product(SHAPES, ROWS):
        weight = torch.randn(out, width) * 0.02
        halved, inputs = weight.bfloat16(), torch.randn(num_rows, width)
        contenders = {
            "fp32": lambda w=weight, x=inputs: F.linear(x, w),
            "bf16": lambda w=halved, x=inputs: F.linear(x.bfloat16(), w),
        }
        for precision in WEIGHT_ONLY:
            rounded = WeightOnlyLinear.rounded(weight, None, precision)
            contenders[precision] = lambda layer=rounded, x=inputs: layer(x)
        times = max(1, int(2e7 / (out * width * num_rows)))
        with torch.no_grad():
            seconds = turns(
                {name: repeated(work, times) for name, work in contenders.items()}, rounds=rounds
            )
        probe = seconds.pop("probe")
        yield {
            "case": "layer",
            "shape": [out, width],
            "rows": num_rows,
            "microseconds": {name: round(s / times * 1e6, 1) for name, s in seconds.items()},
            "times_as_fast_as_fp32": ratios(seconds, "fp32"),
            "probe_ms": round(probe * 1e3, 2),
        }


# --- whole models -------------------------------------------------------------------------------


def wide_model(folder: Path) -> Path:
    """A random model of the wide shape, with the built-in model's tokeniser."""
    shutil.copytree(TINY / "llm", folder, ignore=shutil.ignore_patterns("*.safetensors", "config*"))
    wide_llama().save_pretrained(folder)
    return folder


def held(path: Path, precision: str) -> LLM:
    """A model trained at nf4 with LoRA, held as asked; nf4 has LoRA beside its weights."""
    llm = load_llm(str(path), precision="nf4", lora=LoraOptions(r=16))
    torch.manual_seed(1)
    for parameter in llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.02)
    llm.use_lora(True)
    return llm if precision == "nf4" else merge(llm, precision=precision)


def decoder(llm: LLM, batch: int) -> Callable[[], None]:
    """Each call appends one token to `batch` sequences."""
    cache, position = llm.new_cache(), PROMPT
    positions = torch.arange(PROMPT).expand(batch, -1)
    prompt = llm.embed(torch.arange(batch * PROMPT).view(batch, -1) % 900)
    llm.decode(prompt, positions=positions, cache=cache)

    def step() -> None:
        nonlocal position
        words = llm.embed(torch.full((batch, 1), position % 900))
        where = torch.full((batch, 1), position)
        hidden = llm.decode(words, positions=where, cache=cache)
        llm.head(hidden[:, -1]).argmax(-1)
        position += 1

    return step


def models(rounds: int) -> Iterator[dict[str, Any]]:
    """One row for each model and batch size."""
    with tempfile.TemporaryDirectory() as scratch, without_progress(), torch.no_grad():
        paths = {"tiny": TINY / "llm", "88M": wide_model(Path(scratch) / "wide")}
        for name, path in paths.items():
            llms = {precision: held(path, precision) for precision in HELD}
            for batch in BATCHES:
                steps = {precision: decoder(llm, batch) for precision, llm in llms.items()}
                seconds = turns(steps, rounds=rounds)
                probe = seconds.pop("probe")
                yield {
                    "case": "decode",
                    "model": name,
                    "batch": batch,
                    "tokens_per_cpu_second": {p: round(batch / s, 1) for p, s in seconds.items()},
                    "times_as_fast_as_nf4": ratios(seconds, "nf4"),
                    "probe_ms": round(probe * 1e3, 2),
                }


# --- answers ------------------------------------------------------------------------------------


def answers(num_questions: int) -> Iterator[dict[str, Any]]:
    """How many greedy answers of the built-in model are those at the precision of training."""
    each = num_questions // 4
    records = [
        record
        for source in (scenes, clips, sounds, motions)
        for record in source(split="heldout", size=each, seed=11)
    ]
    prompts = [{**record, "messages": record["messages"][:-1]} for record in records]
    ways: dict[str, dict[str, Any]] = {
        "nf4, LoRA unmerged": {"precision": "nf4"},
        "fp32, LoRA merged into dequantised nf4": {"precision": "fp32", "merge_lora": True},
        "bf16, LoRA merged into dequantised nf4": {"precision": "bf16", "merge_lora": True},
        "int8, LoRA merged into dequantised nf4": {"precision": "int8", "merge_lora": True},
        "int4, LoRA merged into dequantised nf4": {"precision": "int4", "merge_lora": True},
        "fp32 of the checkpoint, LoRA unmerged": {"precision": "fp32"},
    }
    trained: list[str] = []
    for name, way in ways.items():
        with start_batch_assistant(
            load_bundle("tiny", **way), name=name, batch_size=16
        ) as assistant:
            replies = answer_all(
                assistant,
                prompts,
                base_dir=None,
                batch_size=16,
                sampling=Sampling(max_tokens=48),
            )
            texts = [reply.text for reply in replies]
        trained = trained or texts
        same = sum(one == other for one, other in zip(texts, trained, strict=True))
        yield {"case": "answers", "held": name, "same": same, "of": len(texts)}


def ratios(seconds: Mapping[str, float], reference: str) -> dict[str, float]:
    """How many times as fast as the reference each is."""
    return {name: round(seconds[reference] / s, 2) for name, s in seconds.items()}


def main() -> None:
    """Measure, and write the figures after every case."""
    parser = argparse.ArgumentParser(description="Compare ways to hold a language model.")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every contender")
    parser.add_argument("--questions", type=int, default=64, help="questions to the tiny model")
    parser.add_argument(
        "--cases", nargs="+", choices=("layer", "decode", "answers"), help="only these"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "torch": version("torch"), "threads": 1}
    machine["vnni"] = torch.cpu._is_vnni_supported()
    rows: list[dict[str, Any]] = []
    parts = {
        "layer": layers(options.rounds),
        "decode": models(options.rounds),
        "answers": answers(options.questions),
    }
    for case in options.cases or parts:
        for row in parts[case]:
            rows.append(row)
            text = json.dumps({"machine": machine, "rows": rows}, indent=2)
            options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
