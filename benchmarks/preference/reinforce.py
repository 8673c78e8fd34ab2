"""Does the mean reward rise? The built-in model learns from an exact reward about scenes.

The playground knows what is in its pictures, so that the reward of an answer is exact: 1 if it
names what is true and nothing else that could have been, less a tenth for each further word.
Prints a line of JSON; learns nothing about other data.

    python -m benchmarks.preference.reinforce --kind rloo --steps 60 --run-dir /tmp/reinforce
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from anymal.bundle.load import describe
from anymal.recipe.schema import Recipe
from train.metrics import read_metrics
from train.run import run

WORD = 0.1  # what a word beyond the first one costs
SHOWN = 5  # updates at each end that the figures are means of


def is_true(prompts: list[Any], completions: list[Any], **columns: list[Any]) -> list[float]:
    """The exact reward, called as TRL calls reward functions."""
    rows = zip(completions, columns["answer"], columns["choices"], strict=True)
    return [_reward(said[-1]["content"], answer, choices) for said, answer, choices in rows]


def _reward(text: str, answer: str, choices: list[str]) -> float:
    """1 for the true choice alone, less what its words cost; 0 for another, or for none."""
    words = f" {text.lower().strip('. ')} "
    named = {choice for choice in choices if f" {choice} " in words}
    # A longer choice holds a shorter one: bottom left, and left.
    named = {one for one in named if not any(one != other and one in other for other in named)}
    return max(0.0, 1.0 - WORD * (len(words.split()) - 1)) if named == {answer} else 0.0


def recipe_of(kind: str, steps: int, run_dir: Path, seed: int) -> Recipe:
    """A stage that begins with the built-in model, of which pictures are kept."""
    model = describe("tiny").recipe.model_dump(mode="json")
    model["modalities"] = {"image": model["modalities"]["image"]}
    model["llm"] |= {"precision": "fp32"}
    own = {
        "kind": kind,
        "rewards": [{"function": f"{__spec__.name if __spec__ else __name__}:is_true"}],
        "samples": 4,
        "max_new_tokens": 24,
        "beta": 0.02,
    }
    source = {
        "source": "anymal.playground.sources:scenes",
        "args": {"split": "train", "size": 20000, "seed": 5},
    }
    return Recipe.model_validate(
        {
            "run_dir": str(run_dir),
            "seed": seed,
            "device": "cpu",
            "model": model
            | {"start_from": "tiny", "readouts": {"value": {}} if kind == "ppo" else None},
            "stages": [
                {
                    "name": kind,
                    "kind": "instruct",
                    "objective": own,
                    "data": [source],
                    "steps": steps,
                    "batch_size": 16,
                    "lr": 3e-4,
                    "save_every": steps,
                }
            ],
        }
    )


def main() -> None:
    """Train, and print what became of the reward."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["rloo", "ppo"], default="rloo")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run-dir", type=Path, required=True)
    given = parser.parse_args()
    recipe = recipe_of(given.kind, given.steps, given.run_dir, given.seed)
    run(recipe, resume=False, console=Console(stderr=True))
    steps = [step.measures or {} for step in read_metrics(given.run_dir / "metrics.jsonl")]
    ends = {"first": steps[:SHOWN], "last": steps[-SHOWN:]}
    told = {
        end: {name: round(sum(s[name] for s in own) / len(own), 4) for name in own[0]}
        for end, own in ends.items()
    }
    about = {"kind": given.kind, "steps": given.steps, "seed": given.seed}
    sys.stdout.write(f"{json.dumps(about | told)}\n")


if __name__ == "__main__":
    main()
