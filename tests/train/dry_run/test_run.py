"""Every shipped recipe passes a dry run, and a recipe that would fail does not."""

import io
import re
import tempfile
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe, StageRecipe, load_recipe
from tests.train.dry_run.what_trained import parts, watching
from train.cli import train as command
from train.dry_run.run import dry_run
from train.interrupt import Interrupted
from train.stage import train_stage

RECIPES_DIR = Path(__file__).parents[3] / "train" / "recipes"
RECIPES = sorted(str(path.relative_to(RECIPES_DIR)) for path in RECIPES_DIR.rglob("*.yaml"))
# Between them these have both kinds of stage and aligner, LoRA, packing and all four modalities.
EVERY_TIME = {
    "quick.yaml",
    "llama2-70b/align-video-xclip.yaml",
    "llama2-70b-paper/instruct.yaml",
}

BESIDE = ("side", "extra_tokens", "readouts")

app = typer.Typer()
app.command()(command)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and temporary folder, and no variable of ours."""
    monkeypatch.delenv("ANYMAL_DATA", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)


# By recipe and stage, where a stage has rules of its own.
TRAINS: dict[str, dict[str, set[str]]] = {
    "systems/llama_adapter_v2.yaml": {
        "captions": {"aligners.image", "side"},
        "instruct": {"norms", "biases"},
    },
    "systems/frozen.yaml": {"align": {"aligners.image", "encoders.image"}},
    "systems/kosmos.yaml": {"align": {"aligners.image", "encoders.image"}},
    "systems/qwen_vl.yaml": {"align": {"aligners.image", "encoders.image"}},
    "systems/minigpt4/instruct.yaml": {"instruct": {"aligners.image"}},
    "systems/llava/instruct-full.yaml": {"instruct": {"aligners.image", "llm", "norms"}},
    "systems/llava_1_5/instruct-full.yaml": {"instruct": {"aligners.image", "llm", "norms"}},
    "systems/llava_next_full.yaml": {
        "instruct": {"aligners.image", "encoders.image", "llm", "norms"}
    },
    "systems/preference/llava_hound.yaml": {
        "instruct": {"aligners.video", "llm", "norms"},
        "prefer": {"llm", "norms"},
    },
    "systems/shikra.yaml": {
        stage: {"aligners.image", "extra_tokens", "llm", "norms"}
        for stage in ("grounded", "dialogue")
    },
}

# Where only some weights of a part train; a stand-in has two layers.
NAMES = {
    "systems/kosmos.yaml": r"aligners\.image\..*|encoders\.image\..*\.layers\.1\..*",
    "systems/minigpt4/instruct.yaml": r"aligners\.image\.project\..*",
}


def trained_parts(name: str, recipe: Recipe, stage: StageRecipe) -> set[str]:
    """The parts that a stage should change: as listed above, or what its kind is documented as."""
    if stage.kind is None:
        assert name in TRAINS, f"list what trains in stage {stage.name} of {name}"
        return TRAINS[name][stage.name]
    modalities = list(recipe.model.modalities) if stage.modalities is None else stage.modalities
    beside = [part for part in BESIDE if getattr(recipe.model, part, None)]
    lora = ["lora"] if stage.kind == "instruct" else []
    return {*(f"aligners.{one}" for one in modalities), *beside, *lora}


def try_out(name: str, *overrides: str) -> str:
    """Dry-run a shipped recipe; returns what was shown."""
    shown = io.StringIO()
    recipe = load_recipe(RECIPES_DIR / name, overrides, keep_unset=True)
    dry_run(recipe, console=Console(file=shown, width=200))
    return shown.getvalue()


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in EVERY_TIME else pytest.mark.slow) for name in RECIPES],
)
def test_a_shipped_recipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed: dict[str, dict[str, bool]] = {}
    monkeypatch.setattr("train.run.train_stage", watching(train_stage, changed))
    shown = try_out(name)
    recipe = load_recipe(RECIPES_DIR / name, keep_unset=True)
    for stage in recipe.stages:  # all that is in no such part is bit-equal
        found, expected = parts(changed[stage.name]), trained_parts(name, recipe, stage)
        assert found <= expected
        # A norm of 1 that is held in bfloat16 does not move in two small steps.
        assert expected - found <= ({"norms"} if recipe.model.llm.precision == "bf16" else set())
        names = [each for each, is_other in changed[stage.name].items() if is_other]
        assert all(re.fullmatch(NAMES.get(name, ".*"), each) for each in names)
    for part in [recipe.model.llm, *(m.encoder for m in recipe.model.modalities.values())]:
        assert part.path is None or f"  {part.path}: a " in shown
    for stage in recipe.stages:
        [line] = [x for x in shown.splitlines() if x.startswith(f"stage {stage.name}: ")]
        assert line.count("loss ") == 2
    assert f"{2 * len(recipe.stages)} steps" in shown.splitlines()[-1]
    assert ("a bundle of these stand-ins" in shown) == (recipe.model.start_from is not None)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_compares_answers_gets_pairs() -> None:
    terms = "[{chosen: 1, rejected: -severity}, {chosen: 1, chosen@blank: -1}]"
    objective = f"stages.instruct.objective={{kind: preference, terms: {terms}}}"
    shown = try_out("quick.yaml", objective)
    assert "stage instruct: loss 1.39, " in shown  # log 2 for each of two terms


def test_a_stage_that_compares_phrases_gets_them_and_other_records() -> None:
    kl = "kl: {data: [{manifest: kept.jsonl}]}"
    objective = f"stages.instruct.objective={{kind: preference, preset: halva, {kl}}}"
    assert "stage instruct: loss 0." in try_out("quick.yaml", objective)


def test_the_recipes_tried_every_time_are_shipped() -> None:
    assert set(RECIPES) > EVERY_TIME


def test_the_command_ends_with_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(RECIPES_DIR / "quick.yaml"), "--dry-run", "tiny"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("dry run passed: 2 stage(s), 4 steps")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_that_is_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted("a checkpoint is in a folder that is gone", exit_code=130)

    monkeypatch.setattr("train.dry_run.run.run", stopped)
    result = CliRunner().invoke(app, [str(RECIPES_DIR / "quick.yaml"), "--dry-run", "tiny"])
    assert result.exit_code == 130
    assert result.output.splitlines()[-1] == "Stopped; nothing was kept."


def test_there_is_nothing_to_resume() -> None:
    arguments = [str(RECIPES_DIR / "quick.yaml"), "--dry-run", "tiny", "--resume"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "nothing to resume" in result.output


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.modalities.image.aligner.depht=2", "depht"),
        ("model.modalities.image.encoder.num_frames=8", "num_frames"),
        ("model.lora.targets=[nowhere]", "nowhere"),
        ("model.llm.path=nobody/knows-this", "nobody/knows-this"),
    ],
)
def test_what_a_run_would_stumble_over_is_told(override: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=says):
        try_out("quick.yaml", override)
    assert list(tmp_path.iterdir()) == []
