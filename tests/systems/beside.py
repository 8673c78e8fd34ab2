"""Shipped recipes of systems that read media beside the row, with tiny stand-ins."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from anymal.assemble import Assembled, build
from anymal.collate import collate
from anymal.recipe.schema import Recipe, load_recipe
from anymal.recipe.trains import rules_of
from anymal.sample import Sample
from train.dry_run.run import small_recipe

RECIPES = Path(__file__).parents[2] / "train" / "recipes" / "systems"
RED, BLUE = (255, 0, 0), (0, 0, 255)


def read(name: str) -> Recipe:
    """The recipe as it ships."""
    return load_recipe(RECIPES / f"{name}.yaml", keep_unset=True)


def small(name: str, folder: Path) -> Assembled:
    """Its model, made of stand-ins, with what its only stage trains."""
    recipe = small_recipe(read(name), folder, Console(file=io.StringIO()))
    torch.manual_seed(0)
    assembled = build(recipe.model)
    assembled.model.set_trainable([rule.what for rule in rules_of(recipe.stages[0], recipe.model)])
    return assembled


def open_gates(assembled: Assembled) -> None:
    """Let what is beside the row count."""
    assert assembled.model.side is not None
    for name, parameter in assembled.model.side.named_parameters():
        if ".gate" in name and parameter.ndim == 1:
            torch.nn.init.ones_(parameter)


@torch.no_grad()
def logits(assembled: Assembled, samples: Sequence[Sample]) -> list[Tensor]:
    """Logits `[S, V]` of samples side by side."""
    model = assembled.model
    batch = collate(samples, pad_id=assembled.processor.pad_id)
    soft_tokens = model.align(model.encode(batch.media))
    side = model.beside(batch, soft_tokens)
    hidden = model.decode(model.fuse(batch, soft_tokens), batch, side).flatten(0, 1)
    return [model.llm.head(hidden[e.start : e.start + e.length]) for e in batch.readers]


@torch.no_grad()
def bare_logits(assembled: Assembled, sample: Sample) -> Tensor:
    """Those of the language model alone, reading the same words."""
    llm = assembled.model.llm
    positions = torch.arange(len(sample.ids))[None]
    return llm.head(llm.decode(llm.embed(sample.ids)[None], positions=positions)[0])


def gradients(assembled: Assembled, samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Those of one pass that are not zero, by the name of the weight."""
    model = assembled.model
    model.zero_grad()
    model.loss(collate(samples, pad_id=assembled.processor.pad_id)).total.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: gradient for name, gradient in found.items() if bool(gradient.any())}


def trained(assembled: Assembled) -> set[str]:
    """Names of what trains."""
    return {name for name, p in assembled.model.named_parameters() if p.requires_grad}


def part_of(name: str) -> str:
    """The first part of a weight's name."""
    return name.partition(".")[0]


def ids_of(assembled: Assembled, words: str) -> int:
    """The id of an extra token."""
    found: Any = assembled.processor.tokenizer.convert_tokens_to_ids(words)
    return int(found)
