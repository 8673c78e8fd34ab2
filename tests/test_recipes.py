"""Every shipped recipe reads, names its command, plans, says what it takes and finds its start.

That each also runs is held by `tests/train/dry_run/test_run.py`.
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from anymal.plan.advice import check_fits
from anymal.plan.cost import describe_cost, measure_cost
from anymal.plan.run import device_for, measure_parts, plan_recipe
from anymal.plan.stage import Parts
from anymal.recipe.schema import Recipe, load_recipe

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "train" / "recipes").rglob("*.yaml"))
LARGE = [path for path in RECIPES if path.parent.name.startswith("llama2-")]
# Those of `graft` name parts of a bundle that a user imports; planned with LLaVA's.
GRAFT = {"model.llm.path": "meta-llama/Llama-2-7b-chat-hf"}
PICTURES = {"model.modalities.video.encoder.path": "openai/clip-vit-large-patch14-336"}
# Recipes of `tiny` start from what other commands make; planned with the built-in model's parts.
SHARED_ENCODERS = {"video": "image"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> Recipe:
    overrides = []
    if path.parent.name == "tiny":
        has = load_recipe(path, [], keep_unset=True).model.modalities
        overrides = ["model.llm.path=tiny:llm"] + [
            f"model.modalities.{name}.encoder.path=tiny:encoders/{SHARED_ENCODERS.get(name, name)}"
            for name in has
        ]
    if path.parent.name == "graft":
        named = GRAFT | (PICTURES if path.stem == "video" else {})
        overrides = [f"{key}={value}" for key, value in named.items()]
    return load_recipe(path, overrides, keep_unset=True)


@cache
def parts_of(path: Path) -> Parts:
    return measure_parts(read(path).model)


def header(path: Path) -> str:
    """The comment that opens a recipe, as one line."""
    lines = path.read_text().partition("\nrun_dir:")[0].splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines)


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_recipe(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANYMAL_DATA", str(tmp_path))
    recipe = load_recipe(path, [])
    first_line = path.read_text().splitlines()[0]
    assert first_line == f"# anymal train {path.relative_to(ROOT)}"
    for stage in recipe.stages:
        for data in [*stage.data, *(stage.heldout or [])]:
            if data.source is not None:
                module, _, function = data.source.partition(":")
                assert callable(getattr(import_module(module), function))


def test_recipes_ship() -> None:
    assert ROOT / "train" / "recipes" / "quick.yaml" in RECIPES
    assert {path.parent.name for path in LARGE} == {"llama2-70b", "llama2-70b-paper", "llama2-7b"}


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_it_fits_the_memory_it_names(path: Path) -> None:
    recipe = read(path)
    device = device_for(recipe, "cpu" if recipe.device == "cpu" else "cuda", recipe.memory)
    parts = parts_of(path)
    plan = plan_recipe(recipe, parts, device, text_tokens=None)
    check_fits(recipe, parts, plan)
    assert [stage.name for stage in plan.stages] == [stage.name for stage in recipe.stages]
    assert all(stage.fits for stage in plan.stages)


@pytest.mark.parametrize("path", LARGE, ids=name_of)
def test_the_header_says_what_it_takes(path: Path) -> None:
    recipe, said = read(path), header(path)
    parts = parts_of(path)
    plan = plan_recipe(recipe, parts, device_for(recipe, "cuda"))
    for sentence in describe_cost(measure_cost(recipe, parts, plan)):
        assert sentence in said
    days = re.findall(r"([\d,]+) days on one H100", said)
    assert ("OUT OF REACH" in said) == bool(days)


@pytest.mark.parametrize("path", LARGE, ids=name_of)
def test_it_starts_from_a_bundle_that_another_makes(path: Path) -> None:
    recipe = read(path)
    if recipe.model.start_from is None:
        assert path.stem.startswith("align")
        return
    run_dir = Path(recipe.model.start_from).parent.relative_to(ROOT)
    makers = [read(other) for other in LARGE if f"run_dir: {run_dir}\n" in other.read_text()]
    assert makers
    for maker in makers:
        assert maker.model.llm.path == recipe.model.llm.path
        for name, modality in maker.model.modalities.items():
            assert recipe.model.modalities[name] == modality


def test_the_paper_s_table() -> None:
    """AnyMAL, table 12 and appendix B.3: samples a step, rate, steps, aligner, tokens."""
    folder = ROOT / "train" / "recipes" / "llama2-70b-paper"
    rows = {}
    for name in ("image", "video", "audio", "imu"):
        recipe = read(folder / f"align-{name}.yaml")
        [stage], aligner = recipe.stages, recipe.model.modalities[name].aligner
        batch = stage.batch_size * stage.accumulate
        depth = aligner.options.get("depth", 1)
        rows[name] = (batch, stage.lr, stage.steps, aligner.kind, depth, aligner.num_tokens)
    assert rows == {
        "image": (2048, 2e-4, 100_000, "perceiver", 6, 64),
        "video": (1024, 1e-4, 20_000, "perceiver", 4, 32),
        "audio": (128, 1e-4, 1_000, "linear", 1, 32),
        "imu": (256, 1e-4, 2_000, "linear", 1, 32),
    }
    recipe = read(folder / "instruct.yaml")
    [stage], lora = recipe.stages, recipe.model.lora
    assert (stage.batch_size * stage.accumulate, stage.lr, stage.lora_lr) == (128, 1e-5, None)
    assert stage.steps == 3_000
    assert lora is not None
    assert (lora.r, lora.alpha, lora.targets) == (64, 16, "all-linear")


@pytest.mark.parametrize("path", LARGE, ids=name_of)
def test_the_readme_says_the_same(path: Path) -> None:
    lines = (path.parent / "README.md").read_text().splitlines()
    [row] = [line for line in lines if line.startswith(f"| [`{path.name}`]")]
    said = header(path)
    for card in ("H100", "A100"):
        times = re.findall(rf"([\d,.]+ (?:h|days)) on one {card}", said)
        assert f"| {', '.join(times)} |" in row
    [disk] = re.findall(r"Disk: (\d+ GB)", said)
    assert row.endswith(f"| {disk} |")
