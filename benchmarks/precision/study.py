"""The same aligner trained and served at several precisions: what each pair of them costs.

For every seed a recipe is trained with its language model held at each precision, and each bundle
is served at several, held as `anymal serve` holds it. Questions of the recipe's first held-out
source tell loss and accuracy; answers are compared, word for word, with those of the reference: the
first precision trained at, served at the first. Figures are written after every pair, and what was
trained stays in the run folder, so that a study that was cut short goes on after the last of them.

    .venv/bin/python -m benchmarks.precision.study --seeds 3 --out benchmarks/results/precision.json
    .venv/bin/python -m benchmarks.precision.report

`speech.yaml` is the same with a published model, and says how to run it.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from anymal.assemble import Assembled
from anymal.bundle.load import load_bundle
from anymal.collate import collate
from anymal.data.rows import Record
from anymal.evaluation.answered import Answered
from anymal.evaluation.answers import start_batch_assistant
from anymal.evaluation.intervals import share_of
from anymal.evaluation.runner import evaluate
from anymal.evaluation.task import Task, pick
from anymal.recipe.schema import Recipe, load_recipe
from anymal.serving.precision import serving_precision
from train.data.sources import open_data
from train.loop import held_out
from train.run import run
from train.run_folder import RunFolder

RECIPE = Path(__file__).with_suffix(".yaml")
PRECISIONS = ("fp32", "bf16", "int8", "nf4")
_BATCH = 16

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What is trained, and how it is served.

    Attributes:
        recipe: YAML file; the study sets `model.llm.precision`, `seed` and `run_dir`.
        overrides: `key=value` for it.
        trained: Precisions to train at; with the first of `served`, the first is the reference.
        served: Precisions to serve at.
        seeds: How often everything is trained.
        questions: At most so many of the recipe's first held-out source, the same for every pair.
        folder: Of the runs; a bundle that is there is not trained again.
    """

    recipe: Path
    overrides: Sequence[str] = ()
    trained: Sequence[str] = PRECISIONS
    served: Sequence[str] = PRECISIONS
    seeds: int
    questions: int
    folder: Path

    @property
    def reference(self) -> tuple[str, str]:
        """Trained at and served at, of the pair whose answers the others are compared with."""
        return self.trained[0], self.served[0]

    def load(self, *own: str) -> Recipe:
        """The recipe with the study's own overrides."""
        return load_recipe(self.recipe, [*self.overrides, *own])

    def records(self) -> list[Record]:
        """The held-out questions."""
        source = open_data(self.load())[-1].heldout[0]
        return pick(source.records, self.questions)


def pairs(study: Study, *, done: Container[tuple[int, str, str]] = ()) -> Iterator[Row]:
    """Train and measure.

    Args:
        study: What to do.
        done: Seed, trained and served of the pairs to leave out. The reference of a seed that lacks
            any other pair is measured again, for its answers.

    Yields:
        A row for each pair of precisions, the reference first for every seed.
    """
    records = study.records()
    for seed in range(study.seeds):
        reference: list[str] = []
        for trained, own in _missing(study, seed, done).items():
            bundle, train_s = _bundle(study, trained, seed)
            for served in own:
                start = time.perf_counter()
                found, texts = _measure(_load(bundle, trained, served), records)
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


def _missing(
    study: Study, seed: int, done: Container[tuple[int, str, str]]
) -> dict[str, list[str]]:
    """By precision trained at, those to serve at; the reference first, empty where all is done."""
    missing = {
        trained: [served for served in study.served if (seed, trained, served) not in done]
        for trained in study.trained
    }
    if any(missing.values()) and (seed, *study.reference) in done:
        trained, served = study.reference
        missing[trained].insert(0, served)
    return {trained: own for trained, own in missing.items() if own}


def _bundle(study: Study, precision: str, seed: int) -> tuple[Path, float | None]:
    """Train one bundle, or find it; returns it, and the seconds that training took."""
    run_dir = study.folder / f"{precision}-{seed}"
    bundle = RunFolder(run_dir).bundle
    if bundle.exists():
        return bundle, None
    own = (f"run_dir={run_dir}", f"seed={seed}", f"model.llm.precision={precision}")
    start = time.perf_counter()
    made = run(study.load(*own), resume=run_dir.exists(), console=Console(stderr=True))
    return made, round(time.perf_counter() - start, 1)


def _load(bundle: Path, trained: str, served: str) -> Assembled:
    """Load a bundle at a precision, held as the service holds it on a CPU."""
    held = serving_precision(trained=trained, device="cpu", precision=served)
    return load_bundle(bundle, precision=held.precision, merge_lora=held.merge_lora)


def _measure(model: Assembled, records: Sequence[Record]) -> tuple[dict[str, Any], list[str]]:
    """Held-out loss and accuracy, and the answers."""
    samples = [model.processor(record, base_dir=None) for record in records]
    batches = [
        collate(samples[first : first + _BATCH], pad_id=model.processor.pad_id)
        for first in range(0, len(samples), _BATCH)
    ]
    answered: list[Answered] = []
    with start_batch_assistant(model, name="study", batch_size=_BATCH) as assistant:
        results = evaluate(
            assistant,
            [Task(name="heldout", records=records)],
            controls=(),
            batch_size=_BATCH,
            watch=lambda _, true: answered.append(true),
        )
    found = {
        "heldout_loss": round(held_out(model.model, batches).loss, 5),
        "accuracy": results.tasks[0].score.model_dump(),
    }
    return found, [reply.text for one in answered for reply in one.replies]


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
    parser = argparse.ArgumentParser(description="Train and serve at several precisions.")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--trained", nargs="+", default=list(PRECISIONS), metavar="PRECISION")
    parser.add_argument("--served", nargs="+", default=list(PRECISIONS), metavar="PRECISION")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=300, help="held-out, of every pair")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path("runs/precision"))
    parser.add_argument("--out", type=Path, default=Path("runs/precision/precision.json"))
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", dest="overrides", help="in the recipe"
    )
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    out = options.pop("out")
    study = Study(**options)
    settings = {
        "recipe": study.recipe.name,
        "trained": list(study.trained),
        "served": list(study.served),
        "seeds": study.seeds,
        "questions": study.questions,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "bitsandbytes")},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows = read_rows(out, settings)
    except ValueError as error:
        parser.error(str(error))
    done = {(row["seed"], row["trained"], row["served"]) for row in rows}
    for row in pairs(study, done=done):
        rows.append(row)
        write_rows(out, settings, rows)
        sys.stderr.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
