"""What a clock, modality dropout and measured facts are worth: small models with and without.

For every question aligners and LoRA train from fresh weights on the built-in model's frozen parts,
with the same records, steps and seeds in both arms; only what is asked about differs. Then both
answer the same held-out questions:

- `clock flash`, `clock shake`: a flash (a shake) and a beep 0.2 s apart, which came first? Both
  arms have as many soft tokens; with the clock they stand in the order of time.
- `dropout`: how often did it flash and beep? Asked with both senses, and with either one missing.
- `facts motion`, `facts sound`: how long, how strong, how fast, how high?

    .venv/bin/python -m benchmarks.training.senses --out runs/senses.json
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from anymal.evaluation.intervals import wilson
from anymal.recipe.schema import Recipe, load_recipe
from benchmarks.training.trial import machine, trained

ARMS = ("with", "without")
EVENTS = "anymal.playground.event_sources"
WINDOW_S = 0.2
# Soft tokens of one medium in one window; without the clock, a medium has those of all windows.
WINDOW_TOKENS, NUM_WINDOWS = 3, 12

_ENCODERS: dict[str, dict[str, Any]] = {
    # A picture every tenth of a second, one feature each.
    "video": {"kind": "frames", "path": "tiny:encoders/image", "layer": -1, "num_frames": 24}
    | {"pool": 1},
    "audio": {"kind": "spectrogram", "path": "tiny:encoders/audio", "layer": 2},
    "imu": {"kind": "imu_transformer", "path": "tiny:encoders/imu"},
}
_ALIGNER = {"kind": "perceiver", "depth": 2, "hidden_dim": 128, "num_heads": 4, "head_dim": 32}
_PREFIXES = {"video": "Video:", "audio": "Sound:", "imu": "Motion:"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing that is tried.

    Attributes:
        name: In the results.
        modalities: Of the model.
        source: Function of `EVENTS` that makes the records.
        args: Its arguments.
        heldout: Arguments of each held-out source by its name; without any, `args` alone.
        clock: Whether the arm `with` has a clock.
        dropout: What it leaves out.
        facts: Whether it measures its media.
    """

    name: str
    modalities: tuple[str, ...]
    source: str
    args: dict[str, Any]
    heldout: dict[str, dict[str, Any]]
    clock: bool = False
    dropout: float = 0.0
    facts: bool = False


QUESTIONS = (
    Question(
        name="clock flash",
        modalities=("video", "audio"),
        source="order",
        args={"seen": "video"},
        heldout={"order": {}},
        clock=True,
    ),
    Question(
        name="clock shake",
        modalities=("imu", "audio"),
        source="order",
        args={"seen": "imu"},
        heldout={"order": {}},
        clock=True,
    ),
    Question(
        name="dropout",
        modalities=("video", "audio"),
        source="same",
        args={},
        heldout={"both": {}, "sound alone": {"shown": "audio"}, "film alone": {"shown": "video"}},
        dropout=0.5,
    ),
    Question(
        name="facts motion",
        modalities=("imu",),
        source="motion_numbers",
        args={},
        heldout={"numbers": {}},
        facts=True,
    ),
    Question(
        name="facts sound",
        modalities=("audio",),
        source="sound_numbers",
        args={},
        heldout={"numbers": {}},
        facts=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is trained and asked.

    Attributes:
        steps: Of the optimiser.
        batch_size: Samples of a step.
        questions: Held-out, of each source.
        window_tokens: Soft tokens of one medium in one window.
    """

    steps: int = 800
    batch_size: int = 32
    questions: int = 300
    window_tokens: int = WINDOW_TOKENS


def recipe_of(
    question: Question,
    arm: str,
    *,
    seed: int,
    size: Size,
    folder: Path,
    num_windows: int = NUM_WINDOWS,
) -> Recipe:
    """The recipe of one arm.

    Args:
        question: What is tried.
        arm: One of `ARMS`.
        seed: Of the weights and of the order of records.
        size: How much.
        folder: Of the run.
        num_windows: Of a medium on the clock.
    """
    has = arm == "with"
    is_timed = question.clock and has
    num_tokens = size.window_tokens * (1 if is_timed else num_windows)
    args = {**question.args, **({"grouped": has} if question.clock else {})}
    heldout = [
        _entry(question, {**args, **own, "split": "heldout", "size": size.questions}, name=name)
        for name, own in question.heldout.items()
    ]
    stage = {
        "name": "senses",
        "kind": "instruct",
        "data": [_entry(question, {**args, "split": "train", "size": 100_000}, name="train")],
        "heldout": heldout,
        "steps": size.steps,
        "batch_size": size.batch_size,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "warmup_steps": min(40, size.steps // 4),
        "min_lr_ratio": 0.05,
        "save_every": size.steps,
        "eval_every": size.steps,
        "eval_samples": size.questions * len(heldout),
        "bucket": False,
        "packing": True,
        "modality_dropout": question.dropout if has else 0.0,
    }
    model = {
        "llm": {"path": "tiny:llm", "precision": "nf4", "template": "llama2", "max_tokens": 1024},
        "media_first": True,
        "lora": {"r": 16, "alpha": 16},
        "clock": {"window_s": WINDOW_S} if is_timed else None,
        "modalities": {
            name: {
                "encoder": _ENCODERS[name],
                "aligner": {**_ALIGNER, "num_tokens": num_tokens},
                "prefix": _PREFIXES[name],
                "suffix": "\n",
                "facts": question.facts and has,
            }
            for name in question.modalities
        },
    }
    values = {"run_dir": str(folder), "seed": seed, "device": "cpu", "model": model}
    file = folder.with_suffix(".yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**values, "stages": [stage]}, indent=2))  # JSON is YAML
    return load_recipe(file)


def _entry(question: Question, args: dict[str, Any], *, name: str) -> dict[str, Any]:
    return {"source": f"{EVENTS}:{question.source}", "args": args, "name": name}


def compare(
    questions: Sequence[Question], *, seeds: Sequence[int], size: Size, folder: Path
) -> Iterator[dict[str, Any]]:
    """Train both arms of each question.

    Yields:
        All rows so far, and the summary of them, after each arm.
    """
    console, rows = Console(), []
    for question in questions:
        for seed in seeds:
            for arm in ARMS:
                place = folder / question.name.replace(" ", "-") / f"{arm}-{seed}"
                began = time.perf_counter()
                recipe = recipe_of(question, arm, seed=seed, size=size, folder=place)
                for row in trained(recipe, console)[1]:
                    rows.append({"question": question.name, "arm": arm, "seed": seed, **row})
                seconds = time.perf_counter() - began
                console.print(f"{question.name}, {arm}, seed {seed}: {seconds:.0f} s")
                yield {"summary": summary(rows), "rows": rows}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each question, task and arm: accuracy over all seeds with its 95% Wilson interval."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        own = sums.setdefault((row["question"], row["task"], row["arm"]), [0, 0])
        own[0] += row["correct"]
        own[1] += row["n"]
    found: dict[str, Any] = {}
    for (question, task, arm), (correct, n) in sums.items():
        share = wilson(correct, n).model_dump()
        found.setdefault(question, {}).setdefault(task, {})[arm] = share
    return found


def main() -> None:
    """Command line."""
    names = [question.name for question in QUESTIONS]
    parser = argparse.ArgumentParser(description="Train with and without a clock, dropout, facts.")
    parser.add_argument("--only", choices=names, action="append", help="by default all")
    parser.add_argument("--steps", type=int, default=Size().steps)
    parser.add_argument("--batch-size", type=int, default=Size().batch_size)
    parser.add_argument("--questions", type=int, default=Size().questions, help="of each source")
    parser.add_argument("--window-tokens", type=int, default=WINDOW_TOKENS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/senses"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=Path("runs/senses.json"))
    options = parser.parse_args()
    size = Size(
        steps=options.steps,
        batch_size=options.batch_size,
        questions=options.questions,
        window_tokens=options.window_tokens,
    )
    chosen = [each for each in QUESTIONS if each.name in (options.only or names)]
    settings = {**asdict(size), "seeds": options.seeds}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for found in compare(chosen, seeds=options.seeds, size=size, folder=options.runs):
        everything = {"machine": machine(), "settings": settings, **found}
        options.out.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
