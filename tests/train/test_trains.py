"""A run whose stages say by rules what trains: it changes that alone, and resumes exactly."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from anymal.errors import RecipeError
from anymal.recipe.schema import load_recipe
from anymal.recipe.trains import TrainRule
from tests.train.test_run import PowerCutError, assert_same_run, before_step, train, weights_of
from train.copying_adamw import CopyingAdamW
from train.errors import TrainingError
from train.optimiser import build_optimiser

WriteRecipe = Callable[[Path], Path]
RULES = (
    "[{what: 'encoders.image.layers.0.*', lr: 1.0e-3}, {what: llm.norms}, {what: llm.biases},"
    " {what: extra_tokens}, {what: llm.lora}, {what: 'aligners.*'}]"
)
OVERRIDES = (
    "model.biases=[q_proj, down_proj]",
    "model.extra_tokens=['<look>']",
    "model.modalities.image.prefix=<look>",
    "stages.instruct.kind=null",
    "stages.instruct.lora_lr=null",
    f"stages.instruct.trains={RULES}",
    "stages.align.steps=3",
    "stages.instruct.steps=3",
    "stages.instruct.heldout=null",
    "stages.align.heldout=null",
)


@pytest.mark.slow
def test_resumed_equals_uninterrupted(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(write_recipe(tmp_path / "straight"), *OVERRIDES)
    recipe = write_recipe(tmp_path / "cut")

    def power_cut() -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        before_step(patch, 6, power_cut)  # the third of the second stage, saved after its second
        with pytest.raises(PowerCutError):
            train(recipe, *OVERRIDES)
    train(recipe, *OVERRIDES, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "cut")


@pytest.mark.slow
def test_a_whole_model_in_bfloat16_resumes(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (
        "model.lora=null",
        "model.llm.precision=bf16",
        "stages.instruct.kind=null",
        "stages.instruct.lora_lr=null",
        "stages.instruct.trains=[{what: 'llm.*'}, {what: 'aligners.*'}]",
        *OVERRIDES[6:],
    )
    train(write_recipe(tmp_path / "straight"), *whole)
    recipe = write_recipe(tmp_path / "cut")

    def power_cut() -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        before_step(patch, 6, power_cut)
        with pytest.raises(PowerCutError):
            train(recipe, *whole)
    train(recipe, *whole, resume=True)
    ours, theirs = weights_of(tmp_path / "straight"), weights_of(tmp_path / "cut")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert (tmp_path / "cut" / "bundle" / "llm" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("rules", "other", "told"),
    [
        ("null", "seed=0", "give exactly one of kind and trains"),
        (
            "[{what: 'encoders.image.*'}]",
            "features=cache",
            "stages.align.trains lets the encoder of image train, and features has what it gave",
        ),
        (
            "[{what: 'llm.*'}]",
            "model.llm.precision=nf4",
            "such a weight cannot take a step; train llm.lora",
        ),
        (
            "[{what: llm.lora}]",
            "stages.align.objective=words",
            "objective: words trains aligners and encoders alone",
        ),
        ("[{what: llm.lora}]", "stages.align.modalities=[image]", "belong to kind"),
    ],
)
def test_what_cannot_train_is_refused(
    write_recipe: WriteRecipe, tmp_path: Path, rules: str, other: str, told: str
) -> None:
    overrides = ["stages.align.kind=null", f"stages.align.trains={rules}", other]
    with pytest.raises(RecipeError, match=re.escape(told)):
        load_recipe(write_recipe(tmp_path / "run"), overrides)


# --- weights held in bfloat16 -------------------------------------------------------------------


class Short(torch.nn.Module):
    """One weight of each dtype."""

    def __init__(self) -> None:
        super().__init__()
        start = torch.full((4,), 0.02)
        self.aligners = torch.nn.ParameterDict({"short": start.bfloat16(), "long": start.clone()})


def test_small_steps_on_bfloat16_add_up_as_in_float32() -> None:
    model, exact = Short(), torch.nn.Parameter(torch.full((4,), 0.02).bfloat16().float())
    group = {"lr": 2e-5, "weight_decay": 0.0}
    ours = CopyingAdamW([{"params": list(model.parameters()), **group}], betas=(0.9, 0.999))
    theirs = torch.optim.AdamW([exact], **group)
    for _ in range(50):
        for parameter in (*model.parameters(), exact):
            parameter.grad = torch.ones_like(parameter)
        ours.step()
        theirs.step()
    short = model.aligners["short"]
    assert torch.equal(short, exact.bfloat16())
    assert not torch.equal(short.float(), torch.full((4,), 0.02).bfloat16().float())
    restored = CopyingAdamW([{"params": list(model.parameters()), **group}], betas=(0.9, 0.999))
    restored.load_state_dict(ours.state_dict())
    assert torch.equal(restored.state[short]["copy"], ours.state[short]["copy"])
    assert "copy" not in ours.state[model.aligners["long"]]


def test_an_optimiser_that_would_round_steps_away_is_refused() -> None:
    recipe: Any = load_recipe(
        Path(__file__).parents[2] / "train" / "recipes" / "quick.yaml", keep_unset=True
    ).stages[0]
    stage = recipe.model_copy(update={"optimizer": "paged_adamw_8bit"})
    rules = [TrainRule(what="aligners.*")]
    with pytest.raises(TrainingError, match=r"rounds each step to bfloat16.*set optimizer: adamw"):
        build_optimiser(Short(), stage, rules)
