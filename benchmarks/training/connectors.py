"""Five ways from a picture into a frozen language model, at equal data, steps and seeds.

Each trains from fresh weights on the built-in model's frozen parts, alone, without LoRA. Then each
answers the same held-out questions. Speeds are measured in turns: training steps on the same
samples, on one thread and by the CPU seconds that it got, and the time to the first word.

    .venv/bin/python -m benchmarks.training.connectors --out benchmarks/results/connectors.json

- `perceiver`, `qformer`: learned queries read the picture; soft tokens stand in the row.
- `projection`: every feature of the picture becomes a soft token of the row.
- `cross`: the perceiver's soft tokens, read by gated cross-attention before every second layer.
- `prefix`: ten queries of the picture, added to learned prompts beside the attention of each layer.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from anymal.assemble import build
from anymal.collate import collate
from anymal.evaluation.intervals import wilson
from anymal.llm.packing import allow_packing
from anymal.playground.sources import scenes
from anymal.protocol.conversation import Conversation
from anymal.recipe.schema import Recipe, load_recipe
from anymal.recipe.trains import rules_of
from anymal.serving.assistant import Assistant, load
from benchmarks.training.trial import machine, trained
from benchmarks.turns import rotated
from train.loop import optimise
from train.optimiser import build_optimiser

SOURCE = "anymal.playground.sources:scenes"
NUM_TOKENS, NUM_PROMPTS = 32, 10
NUM_FEATURES = 16  # of a picture, in the built-in model's encoder
_WIDE = {"depth": 2, "hidden_dim": 160, "num_heads": 4, "head_dim": 40, "mult": 2}
_PERCEIVER = {"kind": "perceiver", **_WIDE, "num_tokens": NUM_TOKENS}
# Of each way: the aligner, and what stands beside the row.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "perceiver": (_PERCEIVER, None),
    "qformer": (
        {"kind": "qformer", "num_tokens": NUM_TOKENS, "layers": 2, "cross_every": 1}
        | {"width": 160, "num_heads": 4, "mult": 2},
        None,
    ),
    "projection": ({"kind": "projection", "num_tokens": NUM_FEATURES}, None),
    "cross": (_PERCEIVER, {"kind": "cross", "every": 2, "num_heads": 4, "head_dim": 40}),
    "prefix": (
        {**_PERCEIVER, "num_tokens": NUM_PROMPTS},
        {"kind": "prefix", "num_tokens": NUM_PROMPTS},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is trained and asked.

    Attributes:
        steps: Of the optimiser.
        batch_size: Samples of a step.
        questions: Held-out.
        timed: Training steps, and pictures whose first word is timed.
    """

    steps: int = 600
    batch_size: int = 32
    questions: int = 300
    timed: int = 20


def recipe_of(way: str, *, seed: int, size: Size, folder: Path) -> Recipe:
    """The recipe of one way.

    Args:
        way: One of `WAYS`.
        seed: Of the weights and of the order of records.
        size: How much.
        folder: Of the run.
    """
    aligner, side = WAYS[way]

    def entry(**args: Any) -> dict[str, Any]:
        return {"source": SOURCE, "args": args, "name": args["split"]}

    stage = {
        "name": "align",
        "kind": "align",
        "data": [entry(split="train", size=1_000_000, questions=3)],
        "heldout": [entry(split="heldout", size=size.questions)],
        "steps": size.steps,
        "batch_size": size.batch_size,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "warmup_steps": min(40, size.steps // 4),
        "min_lr_ratio": 0.02,
        "save_every": size.steps,
        "eval_every": size.steps,
        "eval_samples": size.questions,
        "bucket": False,
        "packing": True,
    }
    model = {
        "llm": {"path": "tiny:llm", "precision": "nf4", "template": "llama2", "max_tokens": 1024},
        "media_first": True,
        "side": side,
        "modalities": {
            "image": {
                "encoder": {"kind": "vision", "path": "tiny:encoders/image", "layer": None},
                "aligner": aligner,
                "prefix": "Image:",
                "suffix": "\n",
            }
        },
    }
    values = {"run_dir": str(folder), "seed": seed, "device": "cpu", "model": model}
    file = folder.with_suffix(".yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**values, "stages": [stage]}, indent=2))  # JSON is YAML
    return load_recipe(file)


def shape_of(recipe: Recipe) -> dict[str, int]:
    """How many numbers train, and how many positions of the row a picture takes."""
    assembled = build(recipe.model)
    assembled.model.set_trainable(["aligners.*", *(["side.*"] if recipe.model.side else [])])
    (record,) = scenes(split="heldout", size=1)
    conversation = _conversation(record["messages"][:1])
    sample = assembled.processor(conversation, base_dir=Path(), generate=True)
    return {
        "trainable": sum(p.numel() for p in assembled.model.parameters() if p.requires_grad),
        "row_tokens": sum(slot.length for slot in sample.slots),
    }


def _conversation(messages: Sequence[Any]) -> Conversation:
    return Conversation.model_validate({"messages": messages})


def samples_per_s(recipes: Mapping[str, Recipe], *, timed: int) -> dict[str, float]:
    """Samples that each way trains on in one CPU second, by the median of steps taken in turns.

    Decoding a picture is not timed; encoding it is.

    Args:
        recipes: By way.
        timed: Steps of each way; one more warms up.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = {way: _training_step(recipe) for way, recipe in recipes.items()}
        found: dict[str, list[float]] = {way: [] for way in steps}
        for number in range(timed + 1):
            for way in rotated(list(steps), number):
                began = time.process_time()
                steps[way]()
                if number:
                    found[way].append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    size = {way: recipe.stages[0].batch_size for way, recipe in recipes.items()}
    return {way: size[way] / statistics.median(times) for way, times in found.items()}


def _training_step(recipe: Recipe) -> Callable[[], object]:
    """A step as `train.stage` takes it, on one batch."""
    assembled, (stage,) = build(recipe.model), recipe.stages
    model, rules = assembled.model, rules_of(stage, recipe.model)
    model.set_trainable([rule.what for rule in rules])
    optimiser = build_optimiser(model, stage, rules)
    allow_packing(model.llm)
    model.train()
    (entry,) = stage.data
    samples = [
        assembled.processor(_conversation(record["messages"]), base_dir=Path())
        for record in scenes(**{**entry.args, "size": stage.batch_size})
    ]
    batch = collate(
        samples,
        pad_id=assembled.processor.pad_id,
        is_packed=stage.packing,
        splits_prefix=model.side is None,
    )
    return lambda: optimise(model, optimiser, [batch], clip_norm=stage.clip_norm)


def first_words_ms(bundles: Mapping[str, Path], *, timed: int) -> dict[str, float]:
    """Median time to the first word of each way, which answer in turns.

    Args:
        bundles: By way.
        timed: Pictures; one more warms up.
    """
    found: dict[str, list[float]] = {way: [] for way in bundles}
    records = scenes(split="heldout", size=timed + 1, seed=7)
    with ExitStack() as stack:
        assistants = {
            way: stack.enter_context(load(bundle, device="cpu")) for way, bundle in bundles.items()
        }
        for number, record in enumerate(records):
            for way in rotated(list(assistants), number):
                took = _first_word_ms(assistants[way], record["messages"][:1])
                if number:
                    found[way].append(took)
    return {way: statistics.median(times) for way, times in found.items()}


def _first_word_ms(assistant: Assistant, messages: Sequence[Any]) -> float:
    began = time.perf_counter()
    next(iter(assistant.stream(messages, max_tokens=4)))
    return 1e3 * (time.perf_counter() - began)


def compare(*, seeds: Sequence[int], size: Size, folder: Path) -> Iterator[dict[str, Any]]:
    """Train each way with each seed.

    Yields:
        All rows so far, and the summary of them, after each seed.
    """
    console, rows = Console(), []
    for seed in seeds:
        recipes = {
            way: recipe_of(way, seed=seed, size=size, folder=folder / f"{way}-{seed}")
            for way in WAYS
        }
        speeds = samples_per_s(recipes, timed=size.timed)
        bundles: dict[str, Path] = {}
        for way, recipe in recipes.items():
            bundles[way], (answered,) = trained(recipe, console)
            rows.append(
                {"way": way, "seed": seed, **answered, **shape_of(recipe)}
                | {"samples_per_s": speeds[way]}
            )
        times = first_words_ms(bundles, timed=size.timed)
        for row in rows[-len(WAYS) :]:
            row["first_word_ms"] = times[row["way"]]
        yield {"summary": summary(rows), "rows": rows}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each way over all seeds: accuracy with its 95% Wilson interval, and medians of speeds."""
    found: dict[str, dict[str, Any]] = {}
    for way in dict.fromkeys(row["way"] for row in rows):
        own = [row for row in rows if row["way"] == way]
        share = wilson(sum(row["correct"] for row in own), sum(row["n"] for row in own))
        found[way] = {
            "accuracy": share.model_dump(),
            "trainable": own[0]["trainable"],
            "row_tokens": own[0]["row_tokens"],
            "samples_per_s": statistics.median(row["samples_per_s"] for row in own),
            "first_word_ms": statistics.median(row["first_word_ms"] for row in own),
        }
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare ways from a picture into the model.")
    parser.add_argument("--steps", type=int, default=Size().steps)
    parser.add_argument("--batch-size", type=int, default=Size().batch_size)
    parser.add_argument("--questions", type=int, default=Size().questions)
    parser.add_argument("--timed", type=int, default=Size().timed)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/connectors"), help="of the runs")
    parser.add_argument("--out", type=Path, default=Path("runs/connectors.json"))
    options = parser.parse_args()
    size = Size(
        steps=options.steps,
        batch_size=options.batch_size,
        questions=options.questions,
        timed=options.timed,
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for found in compare(seeds=options.seeds, size=size, folder=options.runs):
        done = sorted({row["seed"] for row in found["rows"]})
        settings = {**asdict(size), "seeds": done}
        everything = {"machine": machine(), "settings": settings, **found}
        options.out.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
