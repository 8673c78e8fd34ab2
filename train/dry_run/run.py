"""Two steps of every stage of a recipe, with tiny stand-ins for everything that it would load.

This tries the recipe: its keys, the classes it names, and whether widths, tokens, prompts and
stages fit together. It downloads nothing, needs no GPU and leaves nothing behind.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from anymal.assemble import build
from anymal.bundle.extend import extended
from anymal.bundle.manifest import MANIFEST
from anymal.bundle.save import save_bundle
from anymal.cli.console import plain_console
from anymal.llm.load import without_progress
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.file import TINY
from anymal.recipe.objective import PreferenceRecipe
from anymal.recipe.own_prompt import OwnPrompt, style_of
from anymal.recipe.reinforce import ReinforceRecipe
from anymal.recipe.reward import RewardRecipe
from anymal.recipe.schema import AlignerRecipe, ModelRecipe, Recipe, StageRecipe
from anymal.recipe.section import parse_section
from train.dry_run.checkpoints import MIN_LAYERS, StandIn, write_encoder, write_llm
from train.dry_run.data import write_data
from train.metrics import StepMetrics, read_metrics
from train.run import run

_STEPS = 2
_SAMPLES = 2
_MOST_TOKENS = 4


def dry_run(recipe: Recipe, *, console: Console) -> None:
    """Run a recipe with small stand-ins.

    Args:
        recipe: As `load_recipe(..., keep_unset=True)` read it; its files need not exist.
        console: Where stand-ins and the outcome are shown.

    Raises:
        AnymalError: What would stop a full run.
    """
    began = time.perf_counter()
    start = recipe.model.start_from
    if start is not None and (Path(start) / MANIFEST).is_file():
        recipe = extended(recipe)
    with TemporaryDirectory(prefix="anymal-dry-run-") as name, without_progress():
        folder = Path(name)
        small = small_recipe(recipe, folder, console)
        run(small, resume=False, console=plain_console(quiet=True))
        steps = read_metrics(folder / "run" / "metrics.jsonl")
    for stage in recipe.stages:
        console.print(f"stage {stage.name}: {_losses(steps, stage.name)}")
    seconds = time.perf_counter() - began
    console.print(
        f"dry run passed: {len(recipe.stages)} stage(s), {len(steps)} steps with stand-ins in "
        f"{seconds:.0f} s; nothing was kept",
    )


def small_recipe(recipe: Recipe, folder: Path, console: Console) -> Recipe:
    """The recipe with stand-ins for its checkpoints, its data and its sizes.

    Args:
        recipe: As `dry_run` takes it.
        folder: Where stand-ins and the run go.
        console: Where they are shown.

    Returns:
        A recipe that can be run.
    """
    values = recipe.model_dump(mode="json")
    values |= {"run_dir": str(folder / "run"), "device": "cpu", "features": None, "report": []}
    console.print("stand-ins, all random:")
    values["model"] = _small_model(recipe.model, folder, console)
    console.print(f"  data: generated media in {len(recipe.stages)} stage(s)")
    data = _Data(recipe, folder / "data")
    values["stages"] = [data.small_stage(stage) for stage in recipe.stages]
    return parse_section(Recipe, values, where="dry run")


def _small_model(model: ModelRecipe, folder: Path, console: Console) -> dict[str, Any]:
    """The recipe's model, made of stand-ins."""
    values = model.model_dump(mode="json")
    llm = _shown(write_llm(model.llm, folder / "llm"), console)
    # The stand-in writes with the built-in model's template.
    values["llm"] |= {"path": str(llm.path), "revision": None, "markers": None}
    for name, modality in model.modalities.items():
        values["modalities"][name]["aligner"] |= _small_aligner(modality.aligner)
        if modality.encoder.path is None:  # which loads nothing
            continue
        encoder = _shown(write_encoder(modality.encoder, folder / "encoders" / name), console)
        values["modalities"][name]["encoder"]["path"] = str(encoder.path)
    if model.side is not None:
        values["side"] |= _small_places(values["side"])
    if model.start_from is not None:
        values["start_from"] = None
        before = parse_section(ModelRecipe, values | {"lora": None}, where="dry run")
        bundle = save_bundle(build(before), folder / "before" / "bundle")
        console.print(f"  {model.start_from}: a bundle of these stand-ins, without LoRA")
        values["start_from"] = str(bundle)
    return values


def _small_aligner(aligner: AlignerRecipe) -> dict[str, Any]:
    """Few layers, and for an aligner that reads words the stand-in's tokeniser."""
    options = aligner.options
    small = {key: min(options[key], MIN_LAYERS) for key in ("depth", "layers") if key in options}
    words = {} if aligner.vocabulary is None else {"vocabulary": str(TINY / "llm")}
    return small | words


def _small_places(side: dict[str, Any]) -> dict[str, int | None]:
    """Of layers beside the row: which of the few decoder layers they stand at, and how wide."""
    most = {"every": MIN_LAYERS, "first": MIN_LAYERS - 1, "layers": MIN_LAYERS}
    places: dict[str, int | None] = {
        key: min(side[key], number) for key, number in most.items() if side.get(key) is not None
    }
    # Stand-ins for encoders and language models are equally wide.
    return places | ({"media_dim": None} if "media_dim" in side else {})


class _Data:
    """Manifests of generated data, each written once."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.all_modalities = list(recipe.model.modalities)
        self.folder = folder
        self.written: dict[tuple[str, tuple[str, ...], str], str] = {}

    def small_stage(self, stage: StageRecipe) -> dict[str, Any]:
        """Two steps of a stage, on generated data."""
        values = stage.model_dump(mode="json")
        values |= {
            "steps": _STEPS,
            "epochs": None,
            "warmup_steps": min(stage.warmup_steps, _STEPS - 1),
            "batch_size": min(stage.batch_size, _SAMPLES),
            "accumulate": min(stage.accumulate, _STEPS),
            "eval_samples": min(stage.eval_samples, _SAMPLES),
            "ask_every": None,  # the generated records are no questions
            "best_by": "heldout_loss",
        }
        modalities = stage.modalities or self.all_modalities
        if len(modalities) < 2 or all(entry.prompt is not None for entry in stage.data):
            values["modality_dropout"] = 0.0  # no generated record has two media
        compares = None
        if isinstance(stage.objective, PreferenceRecipe | RewardRecipe):
            compares = stage.objective
        names = tuple(modalities)
        if isinstance(stage.objective, ReinforceRecipe):
            values |= _small_rollouts(stage.objective, values)
        for entry in values["data"] + (values["heldout"] or []):
            entry |= self._entry(entry, names, compares)
        if isinstance(compares, PreferenceRecipe) and compares.kl is not None:
            for entry in values["objective"]["kl"]["data"]:
                entry |= self._entry(entry, names, None)
        return values

    def _entry(
        self,
        entry: dict[str, Any],
        modalities: tuple[str, ...],
        compares: PreferenceRecipe | RewardRecipe | None,
    ) -> dict[str, Any]:
        """An entry of data with generated records in the place of its own."""
        given = DataRecipe(**entry)
        own = DataRecipe(
            manifest=self._manifest(given.prompt, modalities, compares),
            name=given.name or given.source or Path(str(given.manifest)).name,
            prompt=given.prompt,
            suffix=given.suffix,
            tag=given.tag,
        )
        return own.model_dump(exclude={"weight"}) | {"source": None}

    def _manifest(
        self,
        prompt: str | OwnPrompt | None,
        modalities: tuple[str, ...],
        compares: PreferenceRecipe | RewardRecipe | None,
    ) -> str:
        """The manifest for a prompt, or of conversations or pairs about some modalities."""
        shown = modalities if prompt is None else (style_of(prompt).modality,)
        key = (repr(prompt), shown, repr(compares))
        if key not in self.written:
            folder = self.folder / str(len(self.written))
            self.written[key] = str(write_data(shown, prompt, folder, compares))
        return self.written[key]


def _small_rollouts(objective: ReinforceRecipe, stage: dict[str, Any]) -> dict[str, Any]:
    """Keys of a stage with short answers, which the length of their words rewards."""
    samples = min(objective.samples, _SAMPLES)
    own = objective.model_dump(mode="json") | {
        "rewards": [{"function": f"{write_data.__module__}:length_of_answers"}],
        "samples": samples,
        "max_new_tokens": _MOST_TOKENS,
        "batches": 1,
        "passes": 1,
    }
    if objective.value is not None:
        own["value"] |= {"from_reward": False}
    return {"objective": own, "batch_size": max(stage["batch_size"], samples)}


def _losses(steps: list[StepMetrics], stage: str) -> str:
    """The losses of a stage, for the user."""
    return ", ".join(f"loss {step.loss:.2f}" for step in steps if step.stage == stage)


def _shown(part: StandIn, console: Console) -> StandIn:
    """Show a stand-in."""
    console.print(f"  {part}")
    return part
