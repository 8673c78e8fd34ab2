"""What a new sense costs the old one: pictures, before and after hearing is grafted onto a LLaVA.

A tiny LLaVA of random weights is imported, and the shipped recipe aligns hearing beside it. Without
LoRA, what it says of pictures must not change at all, nor any probability of a token. With LoRA it
drifts; `anymal eval --compare` says how far, where the right answer is what was said before.

    .venv/bin/python -m benchmarks.graft --out runs/graft.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from anymal.evaluation.results import Results
from anymal.playground import sources
from anymal.published.importing import import_model
from anymal.serving.assistant import load
from tests.systems.checkpoints import save_llava
from tests.systems.grafting import QUESTIONS, grafted, picture_answers

PRECISIONS = ("fp32", "nf4")
STEPS, RATE = 20, 1.0e-4
# The stage trains LoRA beside the aligner, at the rate of the recipes.
WITH_LORA = ("model.lora={}", "stages.align.kind=instruct")
# As long as the answers of `anymal eval`, which are compared with them.
_TOKENS = 48


def graft(
    *, steps: int = STEPS, tick: Callable[[str], object] = lambda name: None
) -> dict[str, Any]:
    """Measure.

    Args:
        steps: Of each training.
        tick: Called after each case.

    Returns:
        Figures by precision without LoRA, and those of `anymal eval` with it.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        llava = folder / "llava"
        import_model(save_llava(folder / "published"), llava, tell=lambda what: None)
        without = {}
        for precision in PRECISIONS:
            without[precision] = _without_lora(llava, folder / precision, precision, steps)
            tick(f"without LoRA, {precision}")
        with_lora = _with_lora(llava, folder / "lora", steps)
        tick("with LoRA")
    settings = {"questions": QUESTIONS, "steps": steps, "lr": RATE}
    return {"settings": settings, "without_lora": without, "with_lora": with_lora}


def as_table(results: dict[str, Any]) -> Table:
    """The figures as rows."""
    table = Table("graft", "answers about pictures that stayed", "change, paired (95%)")
    for precision, row in results["without_lora"].items():
        table.add_row(
            f"{precision}, no LoRA",
            f"{row['identical']} of {row['questions']}, bit for bit",
            "none",
        )
    row = results["with_lora"]
    change = row["change"]
    told = f"{100 * change['mean']:.0f} ({100 * change['low']:.0f} to {100 * change['high']:.0f}) %"
    table.add_row("fp32, LoRA", f"{row['same_words']} of {row['questions']}, the words", told)
    return table


def _without_lora(llava: Path, folder: Path, precision: str, steps: int) -> dict[str, Any]:
    """How many answers have the same words, and tokens of the same probabilities."""
    grown = grafted(llava, "audio", folder, precision, steps=steps, lr=RATE)
    before, after = picture_answers(llava, precision), picture_answers(grown, precision)
    return {
        "identical": sum(one == other for one, other in zip(before, after, strict=True)),
        "questions": QUESTIONS,
        "different_answers": len({text for text, _ in before}),
    }


def _with_lora(llava: Path, folder: Path, steps: int) -> dict[str, Any]:
    """What `anymal eval` says of answers that would be right before."""
    grown = grafted(llava, "audio", folder, "fp32", steps=steps, lr=RATE, more=WITH_LORA)
    suite, found = folder / "questions.jsonl", folder / "drift.json"
    suite.write_text("".join(f"{json.dumps(record)}\n" for record in _as_said_before(llava)))
    main = "from anymal.cli.main import main; main()"
    arguments = f"eval {grown} --compare {llava} --suite {suite} --no-controls --precision fp32"
    subprocess.run(
        [sys.executable, "-c", main, *arguments.split(), "--out", str(found)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    (task,) = Results.read(found).tasks
    assert task.compared is not None, "--compare"
    return {
        "same_words": task.score.correct,
        "same_words_before": task.compared.score.correct,
        "questions": task.score.n,
        "change": task.compared.gain.model_dump(),
    }


def _as_said_before(llava: Path) -> list[dict[str, Any]]:
    """Questions about pictures, whose right answers are those that the imported model gives."""
    records = []
    with load(llava, precision="fp32") as assistant:
        for record in sources.lone_shapes(split="heldout", size=QUESTIONS):
            asked = record["messages"][:1]
            said = assistant.chat(asked, max_tokens=_TOKENS).text
            meta = {"task": "as before", "answer": said}
            records.append({"messages": asked, "meta": meta})
    return records


def main() -> None:
    """Measure, show the table, and write the figures."""
    parser = argparse.ArgumentParser(description="Measure what a graft changes about pictures.")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("graft", total=len(PRECISIONS) + 1)
        results = graft(steps=options.steps, tick=lambda name: progress.advance(bar))
    Console().print(as_table(results))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
