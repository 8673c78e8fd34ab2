"""The same aligner trained and served at nf4, int8, bf16 and fp32: what each pair of them costs.

For every seed an aligner is trained four times, between the built-in encoder and the built-in
language model held at one precision, and each of the four bundles is served at all four. Held-out
questions about generated sounds tell loss and accuracy; answers are compared, word for word, with
those of the pair that is fp32 throughout. Figures are written after every pair, and what was
trained stays in the run folder, so that a study that was cut short goes on after the last of them.

    .venv/bin/python -m benchmarks.precision.study --seeds 3 --out benchmarks/results/precision.json
    .venv/bin/python -m benchmarks.precision.report
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Container, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from anymal.assemble import Assembled
from anymal.bundle.load import load_bundle
from anymal.collate import collate
from anymal.data.rows import Record
from anymal.evaluation.answer_log import AnswerLog
from anymal.evaluation.answers import start_batch_assistant
from anymal.evaluation.intervals import share_of
from anymal.evaluation.runner import evaluate
from anymal.evaluation.task import Task
from anymal.playground.sources import sounds
from anymal.recipe.schema import load_recipe
from train.loop import heldout_loss
from train.run import run
from train.run_folder import RunFolder

RECIPE = Path(__file__).with_suffix(".yaml")
PRECISIONS = ("fp32", "bf16", "int8", "nf4")
REFERENCE = ("fp32", "fp32")
_BATCH = 16

Row = dict[str, Any]


def pairs(
    *,
    seeds: int,
    questions: int,
    overrides: Sequence[str],
    folder: Path,
    done: Container[tuple[int, str, str]] = (),
) -> Iterator[Row]:
    """Train and measure.

    Args:
        seeds: How often everything is trained.
        questions: Held-out ones, the same for every pair.
        overrides: `key=value` for the recipe.
        folder: Of the runs; a bundle that is there is not trained again.
        done: Seed, trained and served of the pairs to leave out. The reference of a seed that lacks
            any other pair is measured again, for its answers.

    Yields:
        A row for each pair of precisions, the reference first for every seed.
    """
    records = list(sounds(split="heldout", size=questions, seed=1))
    for seed in range(seeds):
        reference: list[str] = []
        for trained, own in _missing(seed, done).items():
            bundle, train_s = _bundle(trained, seed, overrides, folder)
            for served in own:
                start = time.perf_counter()
                model = load_bundle(bundle, precision=served)
                found, texts = _measure(model, records)
                reference = reference or texts
                if (seed, trained, served) in done:
                    continue
                same = [one == other for one, other in zip(texts, reference, strict=True)]
                yield {
                    "seed": seed,
                    "trained": trained,
                    "served": served,
                    **found,
                    "same_answers": share_of(same).model_dump(),
                    "train_seconds": train_s,
                    "serve_seconds": round(time.perf_counter() - start, 1),
                }


def _missing(seed: int, done: Container[tuple[int, str, str]]) -> dict[str, list[str]]:
    """By precision trained at, those to serve at; the reference first, empty where all is done."""
    missing = {
        trained: [served for served in PRECISIONS if (seed, trained, served) not in done]
        for trained in PRECISIONS
    }
    if any(missing.values()) and (seed, *REFERENCE) in done:
        trained, served = REFERENCE
        missing[trained].insert(0, served)
    return {trained: own for trained, own in missing.items() if own}


def _bundle(
    precision: str, seed: int, overrides: Sequence[str], folder: Path
) -> tuple[Path, float | None]:
    """Train one aligner, or find it; returns its bundle, and the seconds that training took."""
    run_dir = folder / f"{precision}-{seed}"
    bundle = RunFolder(run_dir).bundle
    if bundle.exists():
        return bundle, None
    own = [f"run_dir={run_dir}", f"seed={seed}", f"model.llm.precision={precision}"]
    start = time.perf_counter()
    recipe = load_recipe(RECIPE, [*overrides, *own])
    made = run(recipe, resume=run_dir.exists(), console=Console(stderr=True))
    return made, round(time.perf_counter() - start, 1)


def _measure(model: Assembled, records: Sequence[Record]) -> tuple[dict[str, Any], list[str]]:
    """Held-out loss and accuracy, and the answers."""
    samples = [model.processor(record, base_dir=None) for record in records]
    batches = [
        collate(samples[first : first + _BATCH], pad_id=model.processor.pad_id)
        for first in range(0, len(samples), _BATCH)
    ]
    log = AnswerLog()
    with start_batch_assistant(model, name="study", batch_size=_BATCH) as assistant:
        results = evaluate(
            assistant,
            [Task(name="sounds", records=records)],
            controls=(),
            batch_size=_BATCH,
            log=log,
        )
    found = {
        "heldout_loss": round(heldout_loss(model.model, batches), 5),
        "accuracy": results.tasks[0].score.model_dump(),
    }
    return found, [reply.text for reply in log.replies.values()]


def read_rows(path: Path, settings: dict[str, Any]) -> list[Row]:
    """What a study that was cut short has measured.

    Args:
        path: Of its figures; need not exist.
        settings: Of this study. Only the number of seeds may differ.

    Returns:
        Its pairs.

    Raises:
        ValueError: The figures are of another study.
    """
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    if {**found["settings"], "seeds": settings["seeds"]} != settings:
        raise ValueError(
            f"{path} holds figures of other settings: {found['settings']}, not {settings}; "
            "move it away, or name another file with --out"
        )
    rows: list[Row] = found["pairs"]
    return rows


def write_rows(path: Path, settings: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the figures whole; a reader, or a run that is cut short, never sees a part of them."""
    written = path.with_suffix(".part")
    written.write_text(json.dumps({"settings": settings, "pairs": rows}, indent=2) + "\n")
    written.replace(path)


def main() -> None:
    """Run the study, and write the figures after every pair."""
    parser = argparse.ArgumentParser(description="Train and serve at four precisions.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=300, help="held-out, of every pair")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path("runs/precision"))
    parser.add_argument("--out", type=Path, default=Path("runs/precision/precision.json"))
    parser.add_argument("overrides", nargs="*", help="key=value for the recipe")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = {
        "recipe": RECIPE.name,
        "overrides": options.overrides,
        "seeds": options.seeds,
        "questions": options.questions,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "bitsandbytes")},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows = read_rows(options.out, settings)
    except ValueError as error:
        parser.error(str(error))
    study = pairs(
        seeds=options.seeds,
        questions=options.questions,
        overrides=options.overrides,
        folder=options.folder,
        done={(row["seed"], row["trained"], row["served"]) for row in rows},
    )
    for row in study:
        rows.append(row)
        write_rows(options.out, settings, rows)
        sys.stderr.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
