"""Recipes: defaults, paths, overrides, and mistakes that are named."""

from pathlib import Path

import pytest

from anymal.errors import RecipeError
from anymal.recipe.file import TINY
from anymal.recipe.schema import Recipe, load_recipe

TEXT = """\
run_dir: runs/one
model:
  llm: {path: models/llm, precision: fp32}
  modalities:
    image:
      encoder: {kind: vision, path: "tiny:encoders/vision", layer: -1}
      aligner: {kind: perceiver, depth: 2}
stages:
  - name: align
    kind: align
    data:
      - {manifest: data/train.jsonl}
      - {source: "some.module:scenes", args: {path: here, root: "${ANYMAL_DATA}/x"}, weight: 2}
    steps: 10
    batch_size: 2
    lr: 1.0e-3
"""


@pytest.fixture(name="path")
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANYMAL_DATA", "/data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub" / "models" / "llm").mkdir(parents=True)
    path = tmp_path / "sub" / "recipe.yaml"
    path.write_text(TEXT)
    return path


def test_defaults_and_options(path: Path) -> None:
    recipe = load_recipe(path)
    image = recipe.model.modalities["image"]
    assert (image.prefix, image.suffix, image.aligner.num_tokens) == ("", "\n", 64)
    assert image.encoder.options == {"layer": -1}
    assert image.aligner.options == {"depth": 2}
    assert recipe.stages[0].clip_norm == 1.0
    assert recipe.model.lora is None


def test_paths_are_absolute(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.run_dir == str(path.parents[1] / "runs" / "one")
    assert recipe.model.llm.path == str(path.parent / "models" / "llm")
    assert recipe.model.modalities["image"].encoder.path == str(TINY / "encoders" / "vision")
    manifest, source = recipe.stages[0].data
    assert manifest.manifest == str(path.parent / "data" / "train.jsonl")
    assert source.args == {"path": "here", "root": "/data/x"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "meta-llama/Llama-2-7b-chat-hf"),
        ("./org/name", "{folder}/org/name"),
        ("../name", "{parent}/name"),
        ("/abs/name", "/abs/name"),
        ("tiny:llm", str(TINY / "llm")),
    ],
)
def test_hub_ids_stay(path: Path, given: str, expected: str) -> None:
    recipe = load_recipe(path, [f"model.llm.path={given}"])
    folder = path.parent
    assert recipe.model.llm.path == expected.format(folder=folder, parent=folder.parent)


def test_overrides_are_yaml_and_later_ones_win(path: Path) -> None:
    recipe = load_recipe(
        path,
        [
            "model.lora={}",
            "model.lora.r=8",
            "stages.align.lr=1e-2",
            "stages.0.data.1.weight=0.5",
            "stages.align.clip_norm=null",
            "model.modalities.image.aligner.depth=3",
            "seed=4",
            "seed=5",
        ],
    )
    assert recipe.model.lora is not None
    assert (recipe.model.lora.r, recipe.model.lora.alpha) == (8, 16)
    stage = recipe.stages[0]
    assert (stage.lr, stage.data[1].weight, stage.clip_norm) == (0.01, 0.5, None)
    assert recipe.model.modalities["image"].aligner.options == {"depth": 3}
    assert recipe.seed == 5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.align.stepz=3", ["stages.0", "'stepz'", "batch_size, accumulate"]),
        ("model.llm.size=3", ["model.llm", "'size'", "path, precision"]),
        ("seed", ["key.subkey=value"]),
        ("run_dir.x=1", ["'run_dir' holds 'runs/one'"]),
        ("stages.algin.steps=1", ["'algin'", "align"]),
        ("stages.1.steps=1", ["'1'"]),
        ("seed=[", ["not valid YAML"]),
        ("seed=-1", ["seed", "greater than or equal to 0"]),
        ("model.llm.precision=nf3", ["model.llm.precision", "'nf4'"]),
        ("model.llm.precision=int4", ["model.llm.precision", "train at nf4, int8, bf16"]),
        ("model.modalities.image.aligner.num_tokens=0", ["num_tokens is 0", "1 to 4096"]),
        ("model.modalities.smell={encoder: {kind: a, path: b}}", ["'smell'", "image, video"]),
        ("stages.align.modalities=[audio]", ["'audio'", "the model has image"]),
        ("model.llm.markers={audio: x}", ["llm.markers", "'audio'", "the model has image"]),
        ("stages.align.kind=instruct", ["model.lora={}"]),
        ("stages.align.warmup_steps=10", ["lower warmup_steps"]),
        ("stages.align.epochs=2", ["exactly one of steps and epochs"]),
        ("stages.align.steps=null", ["exactly one of steps and epochs"]),
        ("stages.align.keep=best", ["need heldout"]),
        ("stages.align.best_by=accuracy", ["needs ask_every"]),
        ("report=[notebook]", ["report.0", "'tensorboard'"]),
        ("stages.align.data.0={}", ["exactly one of manifest and source"]),
        ("run_dir=${HOME}/x", ["only variables named ANYMAL_*"]),
        ("run_dir=${ANYMAL_NOWHERE}/x", ["export ANYMAL_NOWHERE=..."]),
    ],
)
def test_mistake_is_named(path: Path, override: str, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(path, [override])
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("text", ["- a list", "run_dir: [", "run_dir: x"])
def test_file_that_is_no_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "none.yaml")


def test_every_field_is_described() -> None:
    def undescribed(schema: dict[str, object], name: str) -> list[str]:
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        return [f"{name}.{key}" for key, value in properties.items() if "description" not in value]

    schema = Recipe.model_json_schema()
    sections = {"Recipe": schema, **schema["$defs"]}
    assert [key for name, part in sections.items() for key in undescribed(part, name)] == []


def test_a_resolved_recipe_reads_back_as_itself(path: Path) -> None:
    recipe = load_recipe(path, ["model.lora={}"])
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_a_variable_that_is_not_set_can_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANYMAL_DATA")
    with pytest.raises(RecipeError, match="ANYMAL_DATA"):
        load_recipe(path)
    kept = load_recipe(path, keep_unset=True)
    assert kept.stages[0].data[1].args["root"] == "${ANYMAL_DATA}/x"


def test_time_and_sensors_are_off_until_a_recipe_asks(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.model.clock is None
    assert not recipe.model.modalities["image"].facts
    assert recipe.stages[0].modality_dropout == 0
    with_clock = load_recipe(
        path, ["model.clock.window_s=0.2", "stages.align.modality_dropout=0.3"]
    )
    assert with_clock.model.clock is not None
    assert (with_clock.model.clock.window_s, with_clock.stages[0].modality_dropout) == (0.2, 0.3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.clock.window_s=0"], r"clock\.window_s"),
        (["model.modalities.image.facts=true"], "measured of audio, imu, video"),
        (["stages.align.modality_dropout=1.5"], r"modality_dropout"),
        (
            ["model.clock.window_s=1", "model.side={kind: cross, every: 1}"],
            "model.clock orders media in the row",
        ),
    ],
)
def test_time_and_sensors_refuse_what_has_no_meaning(
    path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(path, overrides)
