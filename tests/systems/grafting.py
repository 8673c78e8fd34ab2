"""A new sense on an imported model by the shipped recipes, and what the model says of pictures.

Compares nothing.
"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from anymal.playground import sources
from anymal.recipe.schema import load_recipe
from anymal.serving.assistant import load
from tests.tiny import save_audio, save_imu
from train.run import run

RECIPES = Path(__file__).parents[2] / "train" / "recipes" / "graft"
QUESTIONS, TOKENS = 50, 2
ENCODERS = {"audio": ("whisper", save_audio), "imu": ("imu_transformer", save_imu)}


def grafted(
    start: Path,
    sense: str,
    folder: Path,
    precision: str,
    *,
    steps: int = 3,
    lr: float = 1.0e-2,
    more: Sequence[str] = (),
) -> Path:
    """Train a few steps of the shipped recipe on generated media.

    Args:
        start: An imported bundle.
        sense: `audio` or `imu`.
        folder: For the encoder and the run.
        precision: Of the language model.
        steps: How many.
        lr: Their rate.
        more: Other changes to the recipe.

    Returns:
        The new bundle.
    """
    kind, save = ENCODERS[sense]
    source = f"anymal.playground.sources:{'sounds' if sense == 'audio' else 'motions'}"
    encoder = f"{{kind: {kind}, path: '{save(folder / 'encoder')}', embed: true}}"
    aligner = "{kind: linear, num_tokens: 32}"
    data = f"[{{source: '{source}', args: {{split: train, size: 16}}}}]"
    stage = {"steps": steps, "warmup_steps": 0, "batch_size": 2, "accumulate": 1, "lr": lr}
    overrides = [
        f"run_dir={folder / 'run'}",
        "device=cpu",
        "memory=null",
        f"model.start_from={start}",
        f"model.llm.precision={precision}",
        f"model.modalities.{sense}.encoder={encoder}",
        f"model.modalities.{sense}.aligner={aligner}",
        f"stages.align.data={data}",
        "stages.align.heldout=null",
        *(f"stages.align.{key}={value}" for key, value in stage.items()),
        *more,
    ]
    recipe = load_recipe(RECIPES / f"{sense}.yaml", overrides, keep_unset=True)
    return run(recipe, resume=False, console=Console(file=StringIO()))


def picture_answers(bundle: Path, precision: str, size: int = QUESTIONS) -> list[tuple[str, Any]]:
    """Greedy answers about pictures, with the probabilities of their tokens."""
    records = sources.lone_shapes(split="heldout", size=size)
    with load(bundle, precision=precision) as assistant:
        answers = [
            assistant.chat(record["messages"][:1], max_tokens=TOKENS, logprobs=2, ignore_eos=True)
            for record in records
        ]
    return [(answer.text, answer.logprobs) for answer in answers]
