"""Methods of preference (C2 to C11 of the methods), as recipes.

Works when: from the shared example (C0), the objective of each recipe gives the published constant
to 1e-6; with the model equal to its reference each term is log 2; and what each method leaves as it
is does not train. What comes out of the whole path: `tests/train/data/test_pairs.py`,
`tests/anymal/objectives` and `tests/train/test_reference.py`.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anymal.objectives.preference import preference
from anymal.recipe.objective import PreferenceRecipe
from anymal.recipe.schema import Recipe, load_recipe
from anymal.recipe.trains import rules_of

FOLDER = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "preference"
PLAIN = ("bpo", "llava_hound", "rlaif_v", "silkie")  # in an order that every process has
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

# Log-probabilities of three tokens each, minus those of the reference; of other branches, the sum.
CHOSEN, REJECTED = (0.1, 0.0, -0.1), (-0.1, -0.2, -0.3)
OTHERS = {"chosen@crop": -0.2, "greedy@noise": -0.05}
BY_HAND = {
    **dict.fromkeys(PLAIN, 0.663597),
    "rlhf_v": 0.644397,
    "mdpo": 2.039941,
    "povid": 0.677124,
    "hsa_dpo": 0.634946,
    "stic": 0.664183,
}


@cache
def read(name: str) -> Recipe:
    return load_recipe(FOLDER / f"{name}.yaml", keep_unset=True)


def objective(name: str) -> PreferenceRecipe:
    """Of the last stage that compares answers."""
    found = [s.objective for s in read(name).stages if isinstance(s.objective, PreferenceRecipe)]
    return found[-1]


def column(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def minimised(own: PreferenceRecipe, delta: dict[str, Tensor], log_p_chosen: float) -> float:
    numbers = {name: column(2.0) for name in own.numbers}
    terms = preference(delta, own.parsed, beta=own.beta, numbers=numbers)
    return float(terms) - own.sft * log_p_chosen


def test_every_method_is_a_recipe() -> None:
    assert {*BY_HAND, "halva"} == set(NAMES)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_published_constant(name: str) -> None:
    own = objective(name)
    weights = [1.0, 1.0, 1.0]
    if own.tokens is not None:  # RLHF-V: the third token is changed
        weights[2] = own.tokens.changed
    scale = sum(weights) if own.tokens is not None and own.tokens.normalise else 1.0
    delta: dict[str, Any] = {
        answer: column(sum(w * d for w, d in zip(weights, each, strict=True)) / scale)
        for answer, each in (("chosen", CHOSEN), ("rejected", REJECTED))
    }
    delta |= {branch: column(each) for branch, each in OTHERS.items()}
    assert minimised(own, delta, log_p_chosen=-0.6) == pytest.approx(BY_HAND[name], abs=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_stage_begins_at_log_2(name: str) -> None:
    own = objective(name)
    assert own.reference == "start"
    nothing = {str(branch): column(0.0) for branch in own.branches}
    expected = sum(term.weight for term in own.parsed) * math.log(2)
    assert minimised(own, nothing, log_p_chosen=0.0) == pytest.approx(expected, abs=1e-6)


def test_halva_compares_phrases_and_is_held_elsewhere() -> None:
    own = objective("halva")
    assert (own.unit, own.reference, own.beta) == ("phrase", "none", 1.0)
    assert own.kl is not None
    phrases = {"chosen": column(-0.3)[None], "rejected": column(-0.6)[None]}
    aligned = preference(phrases, own.parsed, beta=own.beta)
    assert float(aligned) == pytest.approx(0.554355, abs=1e-6)
    assert float(aligned) + own.kl.weight * 0.020411 == pytest.approx(0.562520, abs=1e-6)


def test_each_method_compares_what_it_says() -> None:
    branches = {name: [str(branch) for branch in objective(name).branches] for name in NAMES}
    two = ["chosen", "rejected"]
    others = {"mdpo": [*two, "chosen@crop"], "povid": [*two, "greedy@noise"]}
    assert branches == dict.fromkeys(NAMES, two) | others
    # The second stage of POVID compares with what the first one made.
    assert [stage.name for stage in read("povid").stages] == ["mistakes", "noise"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_method_leaves_as_it_is_does_not_train(name: str) -> None:
    recipe = read(name)
    stage = [s for s in recipe.stages if isinstance(s.objective, PreferenceRecipe)][-1]
    trains = [rule.what for rule in rules_of(stage, recipe.model)]
    if name == "llava_hound":
        assert trains == ["llm.*"]
    elif name in {"silkie", "rlaif_v", "mdpo", "hsa_dpo", "halva"}:
        assert trains == ["llm.lora"]
    else:
        assert sorted(trains) == ["aligners.image.*", "llm.lora"]
