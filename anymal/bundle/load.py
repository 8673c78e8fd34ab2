"""Load a bundle strictly, or describe it without loading the model.

Does not say what lies where (see `manifest.py`) and never uses pickle.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from anymal.assemble import Assembled, build
from anymal.bundle.aligner_sizes import check_aligner_sizes
from anymal.bundle.facts import llm_facts, modality_facts
from anymal.bundle.imports import check_imports
from anymal.bundle.manifest import (
    Manifest,
    bundle_folder,
    check_equal,
    read_manifest,
)
from anymal.bundle.parts import THIS_MACHINE, Reach, with_local_parts
from anymal.bundle.start import saved_state
from anymal.errors import AnymalError, BundleError
from anymal.llm.merge_lora import MERGED_PRECISIONS, merge
from anymal.recipe.schema import ModelRecipe, Precision

# transformers sets the default dtype of the whole process while it builds a model, and importing
# bitsandbytes changes the table of modules.
_BUILDING = threading.Lock()

PRECISIONS: tuple[str, ...] = tuple(dict.fromkeys((*get_args(Precision), *MERGED_PRECISIONS)))


def load_bundle(
    bundle: str | Path,
    *,
    precision: str | None = None,
    merge_lora: bool = False,
    device: torch.device | str = "cpu",
    reach: Reach = THIS_MACHINE,
) -> Assembled:
    """Load a bundle, and check that every part is the one it was trained with.

    Args:
        bundle: Its folder, or `tiny` for the built-in model.
        precision: How to hold the language model's weights; None as it was trained. `int4`
            is for answering only, and takes `merge_lora`.
        merge_lora: Add LoRA to the weights that it was trained beside, dequantised, and hold the
            sum at `precision` (fp32, bf16, int8 or int4); see `anymal.llm.merge_lora`. Otherwise
            LoRA stays beside the checkpoint's weights at `precision`.
        device: Where it goes.
        reach: What it may use besides its own folder.

    Returns:
        The model and its processor, in eval mode.

    Raises:
        BundleError: It is missing or damaged, a part differs or is beyond its reach, or it would
            import a module that is not installed as an entry point; the message names the field.
        RecipeError: A part cannot be built.
    """
    if precision is not None and precision not in PRECISIONS:
        raise BundleError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    folder = bundle_folder(bundle)
    manifest = read_manifest(folder)
    recipe = manifest.recipe
    check_imports(recipe)
    if precision is not None and not merge_lora:
        if precision not in get_args(Precision):
            raise BundleError(
                f"no LoRA can stay beside weights in {precision}; set merge_lora, or take one of "
                f"{', '.join(get_args(Precision))}"
            )
        recipe = recipe.model_copy(
            update={"llm": recipe.llm.model_copy(update={"precision": precision})}
        )
    local = with_local_parts(recipe, folder, reach)
    assembled = _build(local, folder, manifest, device=device)
    assembled = replace(assembled, model_recipe=recipe)  # which says where parts come from
    check_equal("llm", manifest.llm.model_dump(), llm_facts(assembled).model_dump())
    check_equal("bundle", {"lora": manifest.lora}, {"lora": recipe.lora})
    check_equal(
        "bundle",
        {"modalities": sorted(manifest.modalities)},
        {"modalities": sorted(recipe.modalities)},
    )
    for name, facts in manifest.modalities.items():
        check_equal(
            f"modalities.{name}", facts.model_dump(), modality_facts(assembled, name).model_dump()
        )
    assembled.model.load_trainable_state(saved_state(folder, manifest, assembled.model))
    if merge_lora:
        model = assembled.model
        with _BUILDING:
            model.llm = merge(model.llm, precision=precision or model.llm.precision)
    return assembled


def _build(
    recipe: ModelRecipe, folder: Path, manifest: Manifest, *, device: torch.device | str
) -> Assembled:
    """Build from local files."""
    try:
        check_aligner_sizes(manifest, folder)
        with _BUILDING:
            return build(recipe, device=device)
    except AnymalError:
        raise
    except Exception as error:  # libraries fail in many ways on settings that make no sense
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BundleError(f"the bundle {str(folder)!r} cannot be built ({reason})") from error


def describe(bundle: str | Path) -> Manifest:
    """Read what a bundle says about itself, without loading the model.

    Args:
        bundle: Its folder, or `tiny` for the built-in model.

    Returns:
        The manifest.

    Raises:
        BundleError: It is missing or damaged.
    """
    return read_manifest(bundle_folder(bundle))
