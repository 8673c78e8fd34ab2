"""Steps of an optimiser change aligners and what is beside the row, and nothing else by a bit."""

from collections.abc import Callable

import pytest
import torch

from anymal.collate import collate
from anymal.llm.packing import allow_packing
from anymal.recipe.schema import Recipe
from anymal.recipe.trains import rules_of
from anymal.side.base import SideLayers
from anymal.side.cross import Cross
from anymal.side.prefix import Prefix
from anymal.side.sizes import DecoderSizes
from tests.anymal.side.models import HEADS, LAYERS, WIDTH, Projecting, beside, llama, samples
from train.loop import optimise
from train.optimiser import build_optimiser

DECODER = DecoderSizes(
    num_layers=LAYERS, hidden_dim=WIDTH, num_heads=HEADS, head_dim=WIDTH // HEADS
)
SIDES: dict[str, Callable[[], SideLayers]] = {
    "cross": lambda: Cross(sizes=DECODER, num_heads=2, head_dim=8),
    "prefix": lambda: Prefix(sizes=DECODER, num_tokens=5),
}
STAGE = {
    "name": "align",
    "kind": "align",
    "data": [{"source": "a:b"}],
    "steps": 3,
    "batch_size": 5,
    "lr": 1e-2,
    "packing": True,
}
MODEL = {
    "llm": {"path": "nowhere"},
    "modalities": {"image": {"encoder": {"kind": "pixels"}}},
    "side": {"kind": "cross"},
}


@pytest.mark.parametrize("kind", SIDES)
def test_three_steps_change_aligners_and_side_alone(kind: str) -> None:
    torch.manual_seed(4)
    model = beside(llama(), SIDES[kind](), aligner=Projecting(WIDTH))
    allow_packing(model.llm)
    model.train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    recipe = Recipe.model_validate({"run_dir": "run", "model": MODEL, "stages": [STAGE]})
    optimiser = build_optimiser(model, recipe.stages[0], rules_of(recipe.stages[0], recipe.model))
    batch = collate(samples(WIDTH, 5), pad_id=2, is_packed=True)
    losses = [optimise(model, optimiser, [batch], clip_norm=1.0).loss for _ in range(3)]
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    ours = {name for name in before if name.startswith(("aligners.", "side."))}
    assert changed == ours
    assert losses[-1] < losses[0]


def test_words_are_no_objective_beside_the_row() -> None:
    stages = [STAGE | {"objective": "words", "packing": False}]
    with pytest.raises(ValueError, match="objective: words"):
        Recipe.model_validate({"run_dir": "run", "model": MODEL, "stages": stages})
