"""Hours and gigabytes of recipes, against numbers worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anymal.plan.cost import (
    CHECKPOINTS_AT_ONCE,
    GPUS,
    Cost,
    describe_cost,
    measure_cost,
    tokens_per_s,
)
from anymal.plan.device import Device
from anymal.plan.run import measure_parts, plan_recipe
from anymal.plan.stage import Parts
from anymal.plan.trainable import Lora
from anymal.recipe.schema import Recipe
from anymal.recipe.section import parse_section
from train.checkpoint import KEEP

LLAMA_70B = "meta-llama/Llama-2-70b-chat-hf"
CLIP = "openai/clip-vit-large-patch14"
# 80 layers of q and o (8192 x 8192), k and v (8192 x 1024), three of 8192 x 28672 and two norms,
# the last norm, and a head; the embedding table is as large as the head.
LAYER = 2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192
WITHOUT_EMBEDDINGS = 80 * LAYER + 8192 + 32000 * 8192
CARD = Device(type="cuda", memory=80 * 2**30)


def make_recipe(encoder: str, **changes: Any) -> Recipe:
    stage = {"kind": "align", "data": [{"manifest": "a.jsonl"}], "batch_size": 128, "lr": 1e-4}
    aligners = {"image": 256, "video": 32}
    modalities = {
        name: {"encoder": {"kind": "vision", "path": encoder}, "aligner": {"num_tokens": count}}
        for name, count in aligners.items()
    }
    model = {"llm": {"path": LLAMA_70B}, "modalities": modalities, "lora": {"r": 64}}
    stages = [
        stage | {"name": "a", "steps": 1000, "accumulate": 2, "modalities": ["video"]},
        stage | {"name": "b", "steps": 3000, "kind": "instruct"},
    ]
    values = {"run_dir": "x", "model": model | changes, "stages": stages}
    return parse_section(Recipe, values, where="test")


def cost_of(recipe: Recipe, device: Device = CARD) -> tuple[Cost, Parts]:
    parts = measure_parts(recipe.model)
    return measure_cost(recipe, parts, plan_recipe(recipe, parts, device)), parts


def test_tokens_and_hours_of_a_stage(checkpoints: SimpleNamespace) -> None:
    cost, _ = cost_of(make_recipe(str(checkpoints.vision)))
    one, two = cost.stages
    assert (one.samples, one.tokens) == (256_000, 256_000 * (32 + 64))
    assert (two.samples, two.tokens) == (384_000, 384_000 * (256 + 256))
    h100 = 786 * 68.7e9 / WITHOUT_EMBEDDINGS * 3600
    assert math.isclose(one.hours["H100"], one.tokens / h100)
    assert math.isclose(cost.hours["H100"], (one.tokens + two.tokens) / h100)
    assert math.isclose(cost.hours["A100"], cost.hours["H100"] * 786 / 390)


def test_epochs_and_kept_weights_are_told(checkpoints: SimpleNamespace) -> None:
    recipe = make_recipe(str(checkpoints.vision))
    before, parts = cost_of(recipe)
    one, two = recipe.stages
    two = two.model_copy(update={"steps": None, "epochs": 2.0, "keep": "best"})
    cost, _ = cost_of(recipe.model_copy(update={"stages": [one, two]}))
    assert (cost.stages[1].samples, cost.stages[1].hours, cost.hours) == (None, {}, {})
    assert any("epochs are counted in steps" in line for line in describe_cost(cost))
    lora = Lora.of(recipe.model.lora, parts.llm).num_parameters
    weights = sum(each.num_parameters for each in parts.aligners.values()) + lora
    assert cost.training_states - before.training_states == CHECKPOINTS_AT_ONCE * 4 * weights


def test_samples_are_cut_at_the_longest_that_the_recipe_allows(
    checkpoints: SimpleNamespace,
) -> None:
    llm = {"path": LLAMA_70B, "max_tokens": 300}
    cost, _ = cost_of(make_recipe(str(checkpoints.vision), llm=llm))
    assert [stage.sample_tokens for stage in cost.stages] == [32 + 64, 300]


def test_the_speed_is_the_published_one_and_falls_with_the_weights() -> None:
    h100, a100 = GPUS
    assert math.isclose(tokens_per_s(h100, num_weights=68_700_000_000), 786)
    assert math.isclose(tokens_per_s(a100, num_weights=6_870_000_000), 3900)


def test_ranks_share_the_hours(checkpoints: SimpleNamespace) -> None:
    recipe = make_recipe(str(checkpoints.vision))
    alone, _ = cost_of(recipe)
    shared, _ = cost_of(recipe, replace(CARD, ranks=8))
    assert math.isclose(shared.hours["H100"], alone.hours["H100"] / 8)
    said = "\n".join(describe_cost(shared))
    assert "on 8 H100" in said
    assert "What GPUs wait for each other is not counted" in said


def test_no_hours_where_the_published_speed_says_nothing(checkpoints: SimpleNamespace) -> None:
    on_cpu, _ = cost_of(make_recipe(str(checkpoints.vision)), Device(type="cpu", memory=2**40))
    small, _ = cost_of(make_recipe(str(checkpoints.vision), llm={"path": str(checkpoints.llm)}))
    for cost in (on_cpu, small):
        assert cost.hours == {}
        assert "hours not computed" in describe_cost(cost)[-1]


@pytest.mark.parametrize("path", ["${ANYMAL_DATA}/clip", "/somewhere/clip"])
def test_what_is_on_this_machine_is_not_downloaded(path: str, checkpoints: SimpleNamespace) -> None:
    recipe = make_recipe(str(checkpoints.vision))
    parts = measure_parts(recipe.model)
    plan = plan_recipe(recipe, parts, CARD)
    cost = measure_cost(make_recipe(path), parts, plan)
    assert cost.downloads == {LLAMA_70B: 2 * (WITHOUT_EMBEDDINGS + 32000 * 8192)}


def test_an_encoder_is_downloaded_whole_and_once() -> None:
    cost, parts = cost_of(make_recipe(CLIP))
    assert list(cost.downloads) == [LLAMA_70B, CLIP]
    tower = 4 * parts.encoders["image"].num_parameters
    assert tower < cost.downloads[CLIP] == pytest.approx(427.6e6 * 4, rel=0.001)  # with text tower


def test_a_run_folder_holds_checkpoints_of_training_and_bundles(
    checkpoints: SimpleNamespace,
) -> None:
    cost, parts = cost_of(make_recipe(str(checkpoints.vision)))
    trained = 828_375_040 + sum(aligner.num_parameters for aligner in parts.aligners.values())
    assert cost.bundles == 3 * 4 * trained
    assert cost.training_states == (KEEP + 1) * (4 + 8) * trained


def test_embedded_parts_are_in_every_bundle(checkpoints: SimpleNamespace) -> None:
    plain = make_recipe(str(checkpoints.vision))
    values = plain.model.model_dump()
    values["modalities"]["image"]["encoder"]["embed"] = True
    values["modalities"]["video"]["encoder"]["embed"] = True
    copied, before = cost_of(make_recipe("", **values))[0], cost_of(plain)[0]
    size = (Path(checkpoints.vision) / "model.safetensors").stat().st_size
    assert copied.bundles - before.bundles == 3 * size  # one encoder, copied once


def test_a_cost_in_words(checkpoints: SimpleNamespace) -> None:
    cost, _ = cost_of(make_recipe(str(checkpoints.vision)))
    disk, folder, one, two, assumed = describe_cost(cost)
    assert disk == f"Disk: 138 GB of checkpoints ({LLAMA_70B} 138.0 GB)."
    assert folder == ("Run folder: 39.8 GB at most (training checkpoints 29.8 GB, bundles 9.9 GB).")
    hours = 256_000 * 96 / (786 * 68.7e9 / WITHOUT_EMBEDDINGS) / 3600
    assert one == (
        "Time of a: 256,000 samples of 96 tokens (32 soft + 64 text) = 25 M tokens, "
        f"{hours:.1f} h on one H100, {hours * 786 / 390:.0f} h on one A100."
    )
    assert "6 days on one A100" in two
    assert assumed.startswith("Hours are computed, not measured: 786 (H100) and 390 (A100) tokens")
