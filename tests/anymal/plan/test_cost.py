"""Hours and gigabytes of recipes, against numbers worked out by hand."""

import math

import pytest

from anymal.plan.cost import CARDS, checkpoint_bytes, describe_needs, stage_needs, tokens_per_s
from anymal.recipe.schema import Recipe, parse_section

LLAMA_70B = "meta-llama/Llama-2-70b-chat-hf"
# 80 layers of q and o (8192 x 8192), k and v (8192 x 1024), three of 8192 x 28672 and two norms,
# the last norm, and a head; the embedding table is as large as the head.
LAYER = 2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192
WITHOUT_EMBEDDINGS = 80 * LAYER + 8192 + 32000 * 8192


def recipe(**changes: object) -> Recipe:
    stage = {"kind": "align", "data": [{"manifest": "a.jsonl"}], "batch_size": 128, "lr": 1e-4}
    aligners = {"image": 256, "imu": 32}
    modalities = {
        name: {"encoder": {"kind": "vision", "path": "/here"}, "aligner": {"num_tokens": count}}
        for name, count in aligners.items()
    }
    model = {"llm": {"path": LLAMA_70B}, "modalities": modalities, "lora": {}}
    stages = [
        stage | {"name": "a", "steps": 1000, "accumulate": 2, "modalities": ["imu"]},
        stage | {"name": "b", "steps": 3000, "kind": "instruct"},
    ]
    values = {"run_dir": "x", "model": model, "stages": stages} | changes
    return parse_section(Recipe, values, where="test")


def test_tokens_of_a_stage() -> None:
    one, two = (stage_needs(recipe(), stage) for stage in recipe().stages)
    assert (one.samples, one.tokens) == (256_000, 256_000 * (32 + 64))
    assert (two.samples, two.tokens) == (384_000, 384_000 * (256 + 256))


def test_the_rate_is_the_published_one_and_falls_with_the_weights() -> None:
    h100, a100 = CARDS
    assert math.isclose(tokens_per_s(h100, num_weights=68_700_000_000), 786)
    assert math.isclose(tokens_per_s(a100, num_weights=6_870_000_000), 3900)


def test_what_is_on_this_machine_needs_no_disk() -> None:
    assert checkpoint_bytes(recipe()) == {LLAMA_70B: 2 * (WITHOUT_EMBEDDINGS + 32000 * 8192)}


def test_a_recipe_in_words() -> None:
    disk, one, two, assumed = describe_needs(recipe())
    assert disk == f"Disk: 138 GB of checkpoints ({LLAMA_70B} 138.0 GB)."
    seconds = 256_000 * 96 / (786 * 68.7e9 / WITHOUT_EMBEDDINGS)
    assert one == (
        "Time of a: 256,000 samples x (32 soft + 64 text) tokens = 25 M, "
        f"{seconds / 3600:.1f} h on one H100, {seconds / 3600 * 786 / 390:.0f} h on one A100."
    )
    assert "6 days on one A100" in two
    assert assumed.startswith("Assumed: 786 (H100) and 390 (A100) tokens a second")


@pytest.mark.parametrize("path", ["${ANYMAL_DATA}/imagebind.pth", "/somewhere/clip"])
def test_a_path_is_no_hub_id(path: str) -> None:
    values = recipe().model.model_dump()
    values["modalities"]["image"]["encoder"]["path"] = path
    assert list(checkpoint_bytes(recipe(model=values))) == [LLAMA_70B]
