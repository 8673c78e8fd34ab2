"""Plans of whole recipes: LLaMA-2-70B on one card, what is refused, what is shown."""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from transformers import AutoConfig
from typer.testing import CliRunner

from anymal.cli.main import app
from anymal.errors import RecipeError
from anymal.plan.advice import check_fits
from anymal.plan.cost import measure_cost
from anymal.plan.device import Device, parse_memory
from anymal.plan.language_model import read_language_model
from anymal.plan.picture import show_plan
from anymal.plan.run import Plan, measure_parts, plan_recipe
from anymal.recipe.schema import Recipe, load_recipe

GIB = 2**30
CARD = Device(type="cuda", memory=80 * GIB)
MakePlan = Callable[..., tuple[Recipe, Plan]]


def values(encoder: str, **changes: Any) -> dict[str, Any]:
    stage = {
        "name": "align",
        "kind": "align",
        "data": [{"manifest": "none.jsonl"}],
        "steps": 10,
        "batch_size": 64,
        "micro_batch": "auto",
        "checkpointing": True,
        "lr": 1e-4,
    }
    llm = {"path": "meta-llama/Llama-2-70b-chat-hf", "template": "llama2"}
    return {
        "run_dir": "run",
        "model": {
            "llm": llm | changes.pop("llm", {}),
            "lora": changes.pop("lora", None),
            "modalities": {"image": {"encoder": {"kind": "vision", "path": encoder}}},
        },
        "stages": [stage | changes],
    }


@pytest.fixture(name="make_plan")
def _make_plan(checkpoints: SimpleNamespace) -> MakePlan:
    def make(device: Device = CARD, text_tokens: int = 256, **changes: Any) -> tuple[Recipe, Plan]:
        recipe = Recipe.model_validate(values(str(checkpoints.vision), **changes))
        parts = measure_parts(recipe.model)
        return recipe, plan_recipe(recipe, parts, device, text_tokens=text_tokens)

    return make


def test_llama_2_70b_fits_on_one_card_with_forty_samples(make_plan: MakePlan) -> None:
    stage = make_plan()[1].tightest
    assert stage.fits
    assert stage.sample_tokens == 320
    assert stage.most_samples >= 40
    # 68.45 billion weights at 4.127 bits, embeddings and head in 16.
    assert stage.parts["llm"] == pytest.approx(36.4e9, rel=0.03)


def test_the_largest_pass_fits_and_the_next_does_not(make_plan: MakePlan) -> None:
    most = make_plan()[1].tightest.most_samples
    for samples, fits in ((most, True), (most + 1, False)):
        plan = make_plan(batch_size=samples, micro_batch=None)[1]
        assert plan.fits is fits
        assert (plan.tightest.total <= CARD.memory) is fits


def test_lora_and_its_states_leave_room_for_fewer(make_plan: MakePlan) -> None:
    aligner_only = make_plan()[1].tightest
    lora = make_plan(kind="instruct", lora={"r": 64})[1].tightest
    assert lora.parts["lora"] == pytest.approx(828e6 * (4 + 2), rel=0.01)
    assert lora.parts["optimiser"] - aligner_only.parts["optimiser"] == 8 * 828_375_040
    eight_bit = make_plan(kind="instruct", lora={"r": 64}, optimizer="paged_adamw_8bit")[1].tightest
    assert lora.most_samples < eight_bit.most_samples < aligner_only.most_samples


def test_a_pair_is_as_many_samples_as_it_has_branches(make_plan: MakePlan) -> None:
    answers = make_plan()[1].tightest
    mdpo = {"kind": "preference", "preset": "mdpo"}
    pairs = make_plan(objective=mdpo)[1].tightest
    assert pairs.most_samples == answers.most_samples // 3
    assert pairs.num_samples == min(64, pairs.most_samples)
    alone = [make_plan(micro_batch=2, objective=mdpo), make_plan(micro_batch=6)]
    assert alone[0][1].tightest.parts == alone[1][1].tightest.parts


def test_a_stage_that_trains_lora_alone_reads_media_too(make_plan: MakePlan) -> None:
    alone = make_plan(kind="instruct", lora={"r": 64}, modalities=[])[1].tightest
    both = make_plan(kind="instruct", lora={"r": 64})[1].tightest
    assert alone.soft_tokens == both.soft_tokens > 0
    assert alone.total < both.total


def test_small_passes_are_fullest_where_gradients_are_added(make_plan: MakePlan) -> None:
    small: dict[str, Any] = {"kind": "instruct", "lora": {"r": 64}, "batch_size": 2}
    parts = make_plan(text_tokens=1, micro_batch=1, **small)[1].tightest.parts
    assert parts["gradients again"] == parts["gradients"] > 4 * 828e6
    alone = make_plan(text_tokens=1, **small | {"batch_size": 1, "micro_batch": None})[1].tightest
    assert "gradients again" not in alone.parts


def test_float32_is_not_copied_to_bfloat16(make_plan: MakePlan) -> None:
    llm = {"path": "meta-llama/Llama-2-7b-hf", "precision": "fp32"}
    one = {"kind": "instruct", "lora": {"r": 8}, "micro_batch": None, "batch_size": 1}
    stage = make_plan(text_tokens=1, llm=llm, **one)[1].tightest
    bfloat16 = make_plan(text_tokens=1, llm=llm | {"precision": "bf16"}, **one)[1].tightest
    assert stage.parts["lora"] / 4 == bfloat16.parts["lora"] / 6
    assert stage.parts["layer"] < 3 * bfloat16.parts["layer"]


@pytest.mark.parametrize(
    ("changes", "memory", "advice"),
    [
        ({"micro_batch": None, "batch_size": 512}, 80, "set stages.align.micro_batch=auto"),
        ({"checkpointing": False}, 41, "set stages.align.checkpointing=true"),
        ({"llm": {"precision": "bf16"}}, 80, "set model.llm.precision=nf4"),
        ({}, 24, "no setting is enough"),
        (
            {"llm": {"precision": "bf16"}, "micro_batch": 512, "batch_size": 512},
            80,
            "set stages.align.micro_batch=auto model.llm.precision=nf4",
        ),
    ],
)
def test_a_refusal_names_what_would_make_it_fit(
    changes: dict[str, Any], memory: int, advice: str, make_plan: MakePlan
) -> None:
    recipe, plan = make_plan(Device(type="cuda", memory=memory * GIB), **changes)
    with pytest.raises(RecipeError) as error:
        check_fits(recipe, measure_parts(recipe.model), plan)
    assert advice in str(error.value)
    assert "\n" not in str(error.value)


def test_cached_features_leave_the_encoder_off_the_card(checkpoints: SimpleNamespace) -> None:
    recipe = Recipe.model_validate(values(str(checkpoints.vision)) | {"features": "somewhere"})
    stage = plan_recipe(recipe, measure_parts(recipe.model), CARD).tightest
    assert stage.parts["encoders"] == 0


def test_parts_are_the_whole_and_drawn_to_scale(make_plan: MakePlan) -> None:
    recipe, plan = make_plan()
    console = Console(width=200, record=True, file=io.StringIO())
    show_plan(plan, measure_cost(recipe, measure_parts(recipe.model), plan), console)
    text = console.export_text()
    bar = next(line for line in text.splitlines() if line.startswith("["))
    share = plan.tightest.total / CARD.memory
    assert bar.count("#") == pytest.approx(60 * share, abs=1)
    assert len(bar.rstrip()) == 62


@pytest.mark.parametrize(("text", "size"), [("80GiB", 80 * GIB), ("24 GB", 24 * 10**9)])
def test_memory_is_read(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["80", "GiB", "80 gigs", "-1GB", "0GB"])
def test_memory_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="80GiB"):
        parse_memory(text)


def write(folder: Path, content: dict[str, Any]) -> str:
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(content))
    return str(path)


def test_the_command_prints_one_json_object(checkpoints: SimpleNamespace, tmp_path: Path) -> None:
    path = write(tmp_path, values(str(checkpoints.vision)))
    result = CliRunner().invoke(
        app, ["plan", path, "--memory", "80GiB", "--json", "stages.align.batch_size=8"]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["fits"]
    assert told["sample_tokens"] == 128
    assert told["planned_samples"] == 8
    assert told["micro_batch_tokens"] == 128 * told["micro_batch_samples"]
    assert told["planned_bytes"] == sum(told["parts"].values())
    assert list(told["stages"]) == ["align"]
    assert told["disk_bytes"]["downloads"] == {"meta-llama/Llama-2-70b-chat-hf": 137953296384}
    assert told["hours"] == told["stages"]["align"]["hours"] == {"H100": 0.0, "A100": 0.01}


def test_the_command_says_what_a_run_costs(checkpoints: SimpleNamespace, tmp_path: Path) -> None:
    path = write(tmp_path, values(str(checkpoints.vision)))
    result = CliRunner().invoke(app, ["plan", path, "--memory", "80GiB"])
    assert "Disk: 138 GB of checkpoints" in result.stdout
    assert "Run folder: " in result.stdout
    assert "Hours are computed, not measured" in result.stdout


def test_the_command_refuses_what_does_not_fit(
    checkpoints: SimpleNamespace, tmp_path: Path
) -> None:
    path = write(tmp_path, values(str(checkpoints.vision)))
    result = CliRunner().invoke(app, ["plan", path, "--memory", "24GiB", "--json"])
    assert isinstance(result.exception, RecipeError)  # `main` makes one line and 1 of it
    assert not json.loads(result.stdout)["fits"]


def test_a_card_that_is_not_there_has_to_be_described(
    checkpoints: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = write(tmp_path, values(str(checkpoints.vision)))
    result = CliRunner().invoke(app, ["plan", path])
    assert "--memory 80GiB" in str(result.exception)


@pytest.mark.parametrize("kind", ["bart", "rwkv"])
def test_a_language_model_that_would_be_refused_is_not_planned(tmp_path: Path, kind: str) -> None:
    AutoConfig.for_model(kind, num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match=r"ForCausalLM.* use another model"):
        read_language_model(str(tmp_path))


def test_a_smaller_device_never_takes_more(make_plan: MakePlan) -> None:
    sizes = [38, 40, 48, 80, 141]
    plans = [make_plan(dataclasses.replace(CARD, memory=size * GIB))[1] for size in sizes]
    most = [plan.tightest.most_samples for plan in plans]
    assert most == sorted(most)
    assert most[0] < most[-1]


ROOT = Path(__file__).parents[3]


def test_forty_samples_of_320_tokens_fit_in_the_shipped_recipe() -> None:
    path = ROOT / "train" / "recipes" / "llama2-70b" / "align-image.yaml"
    recipe = load_recipe(path, keep_unset=True)
    plan = plan_recipe(recipe, measure_parts(recipe.model), CARD, text_tokens=256)
    assert plan.tightest.parts["llm"] == pytest.approx(36.4e9, rel=0.03)
    assert plan.tightest.sample_tokens == 320
    assert plan.tightest.most_samples >= 40


def test_shards_hold_a_part_of_the_codes_and_two_layers(make_plan: MakePlan) -> None:
    whole = make_plan()[1].tightest.parts["llm"]
    shared = make_plan(dataclasses.replace(CARD, ranks=8))[1].tightest
    assert shared.parts["llm"] == whole
    assert shared.num_samples == 64 // 8
    sharded = make_plan(dataclasses.replace(CARD, ranks=8, shards=8))[1].tightest
    # 80 layers of q and o, k and v, and three of the feed-forward layer; half a byte each.
    codes = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672) // 2
    assert sharded.parts["llm"] == whole - codes + codes // 8 + 2 * codes // 80
