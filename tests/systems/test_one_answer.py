"""Every shipped recipe of a system answers the same alone, beside other requests and again."""

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor

from anymal.assemble import Assembled, build
from anymal.bundle.save import save_bundle
from anymal.client.answer import Answer, AskOptions
from anymal.engine.blocks import BLOCK_SIZE
from anymal.recipe.schema import load_recipe
from anymal.recipe.trains import rules_of
from anymal.serving.assistant import Assistant, load
from tests.systems.beside import RECIPES
from train.dry_run.run import small_recipe

NAMES = sorted(str(path.relative_to(RECIPES)) for path in RECIPES.rglob("*.yaml"))
EVERY_TIME = {"otter.yaml"}  # beside the row
QUESTION = "What is different here? " * 4  # so many words that blocks of them are kept
NUM_CLIENTS, NUM_TOKENS = 4, 16

# Noise, by seed: even random encoders tell it apart.
MEDIA: Mapping[str, Callable[[int], Any]] = {
    "image": lambda seed: np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8),
    "audio": lambda seed: (
        np.random.default_rng(seed).uniform(-0.2, 0.2, 16_000) * (1 + seed),
        16_000,
    ),
    "video": lambda seed: (
        np.random.default_rng(seed).integers(0, 256, (4, 64, 64, 3), np.uint8),
        2.0,
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in EVERY_TIME else pytest.mark.slow) for name in NAMES],
)
def test_a_system(name: str, tmp_path: Path) -> None:
    bundle, modality = save(name, tmp_path)
    media = [{modality: MEDIA[modality](seed)} for seed in range(NUM_CLIENTS)]
    alone = []
    for medium in media:  # each by a fresh model, so that nothing is kept from the others
        with load(bundle) as assistant:
            alone.append(ask(assistant, medium))
    widths: list[int] = []
    with load(bundle, on_step=lambda step: widths.append(step.num_sequences)) as assistant:
        together = all_at_once(assistant, media)
        again = [ask(assistant, medium) for medium in media]
        num_kept = assistant.engine.stats().prefix_tokens_hit
    apart = spread(alone)
    assert apart > 1e-3, "the medium says nothing"
    for others in (together, again):
        assert [answer.text for answer in others] == [answer.text for answer in alone]
        assert max(spread(pair) for pair in zip(alone, others, strict=True)) < apart / 10
    assert max(widths) > 1
    assert num_kept > 0 or alone[0].usage.prompt_tokens < BLOCK_SIZE


def save(name: str, folder: Path) -> tuple[Path, str]:
    """A bundle of stand-ins, and the modality that its recipe reads."""
    shipped = load_recipe(RECIPES / name, keep_unset=True)
    recipe = small_recipe(shipped, folder, Console(file=io.StringIO()))
    make_louder(folder / "llm" / "model.safetensors")
    torch.manual_seed(0)
    assembled = build(recipe.model)
    for stage in recipe.stages:
        train(assembled, [rule.what for rule in rules_of(stage, recipe.model)])
    (modality,) = recipe.model.modalities
    return save_bundle(assembled, folder / "bundle"), modality


def make_louder(file: Path) -> None:
    """Layers of the stand-in's language model hardly change what goes through them; now they do."""
    weights = load_file(file)
    for name, weight in weights.items():
        if weight.ndim == 2 and "layers" in name:
            weight *= 8
    save_file(weights, file, metadata={"format": "pt"})


def train(assembled: Assembled, patterns: Sequence[str]) -> None:
    """As if: gates and LoRA begin at zero, where they would hide the medium."""
    assembled.model.set_trainable(patterns)
    for parameter in assembled.model.parameters():
        if parameter.requires_grad and not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.5)


def ask(assistant: Assistant, medium: dict[str, Any]) -> Answer:
    """The likeliest words."""
    options = AskOptions(max_tokens=NUM_TOKENS, ignore_eos=True, logprobs=0)
    return assistant.ask(QUESTION, stream=False, **medium, **options)


def all_at_once(assistant: Assistant, media: Sequence[dict[str, Any]]) -> list[Answer]:
    """The answers to questions that come together."""
    ready = Barrier(len(media))

    def ask_now(medium: dict[str, Any]) -> Answer:
        ready.wait()
        return ask(assistant, medium)

    with ThreadPoolExecutor(len(media)) as clients:
        return list(clients.map(ask_now, media))


def spread(answers: Sequence[Answer]) -> float:
    """By how much answers differ in how likely they are, at the place where they do most."""
    among = torch.stack([likelihoods(answer) for answer in answers])
    return float((among.amax(0) - among.amin(0)).max())


def likelihoods(answer: Answer) -> Tensor:
    """The log-probability of each of its tokens `[T]`."""
    assert answer.logprobs is not None
    return torch.tensor([token.logprob for token in answer.logprobs])
