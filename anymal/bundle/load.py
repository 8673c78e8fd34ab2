"""Load a bundle strictly, or describe it without loading the model.

Does not say what lies where (see `manifest.py`) and never uses pickle.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from anymal.assemble import Assembled, build, place_encoder
from anymal.bundle.aligner_sizes import check_aligner_sizes
from anymal.bundle.facts import llm_facts, modality_facts
from anymal.bundle.imports import check_imports
from anymal.bundle.kept_weights import KeptWeights
from anymal.bundle.manifest import (
    Manifest,
    bundle_folder,
    check_equal,
    read_manifest,
)
from anymal.bundle.parts import THIS_MACHINE, Reach, with_local_parts
from anymal.bundle.side_sizes import check_side_size
from anymal.bundle.start import saved_state
from anymal.bundle.tuned import names_of_tuned, put_tuned, tuned_encoders
from anymal.errors import AnymalError, BundleError
from anymal.llm.causal_lm import LLM
from anymal.llm.merge_lora import MERGED_PRECISIONS, laid_out, merge_layers
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
        bundle: Its folder, `tiny` for the built-in model, or `ORG/NAME[@REV]` of the Hub.
        precision: How to hold the language model's weights; None as it was trained. `int4`
            is for answering only, and takes `merge_lora`.
        merge_lora: Add LoRA to the weights that it was trained beside, dequantised, and hold the
            sum at `precision` (fp32, bf16, int8 or int4); see `anymal.llm.merge_lora`. On a CPU the
            sum is kept for the next time; see `anymal.bundle.kept_weights`. Otherwise LoRA stays
            beside the checkpoint's weights at `precision`.
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
    folder = bundle_folder(bundle, allow_hub=reach.allow_hub)
    manifest = read_manifest(folder)
    recipe = manifest.recipe
    check_imports(recipe)
    if precision is not None and not merge_lora:
        recipe = _at_precision(recipe, precision)
    local = with_local_parts(recipe, folder, reach)
    held = precision or recipe.llm.precision
    shelf = None
    if merge_lora and torch.device(device).type == "cpu":
        shelf = KeptWeights(folder, manifest, local.llm, precision=held)
    with _BUILDING:
        kept = None if shelf is None else shelf.take()
    ready = None if kept is None else kept.llm
    assembled = _build(local, folder, manifest, device=device, llm=ready)
    assembled = replace(assembled, model_recipe=recipe)  # which says where parts come from
    model, names = assembled.model, list(assembled.model.encoders)
    put_tuned(folder, model, modalities=names, with_llm=kept is None)
    found = llm_facts(assembled)
    if kept is not None:
        found = found.model_copy(update={"embeddings": kept.embeddings})
    check_equal("llm", manifest.llm.model_dump(), found.model_dump())
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
    place_encoder(model.encoders, torch.device(device), model.llm.dtype)
    state = saved_state(folder, manifest, model, with_lora=kept is None)
    model.load_trainable_state(state | model.tuned_state())
    if merge_lora and kept is None:
        with _BUILDING:
            model.llm = _merged(model.llm, held, shelf)
    return assembled


def _at_precision(recipe: ModelRecipe, precision: str) -> ModelRecipe:
    """The recipe with its language model at another precision, LoRA beside it."""
    if precision not in get_args(Precision):
        raise BundleError(
            f"no LoRA can stay beside weights in {precision}; set merge_lora, or take one of "
            f"{', '.join(get_args(Precision))}"
        )
    return recipe.model_copy(update={"llm": recipe.llm.model_copy(update={"precision": precision})})


def _merged(llm: LLM, precision: str, shelf: KeptWeights | None) -> LLM:
    """The language model with LoRA in its weights, which are kept."""
    embeddings = llm.embeddings_digest
    merge_layers(llm, precision=precision)
    if shelf is not None:
        shelf.keep(llm, embeddings=embeddings)
    return laid_out(llm, precision=precision)


def _build(
    recipe: ModelRecipe,
    folder: Path,
    manifest: Manifest,
    *,
    device: torch.device | str,
    llm: LLM | None,
) -> Assembled:
    """Build from local files, and from a language model that is there already."""
    try:
        check_aligner_sizes(manifest, folder)
        check_side_size(recipe, folder)
        with _BUILDING:
            trained = tuned_encoders(names_of_tuned(folder))
            return build(recipe, device=device, llm=llm, trained_encoders=trained)
    except AnymalError:
        raise
    except Exception as error:  # libraries fail in many ways on settings that make no sense
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BundleError(f"the bundle {str(folder)!r} cannot be built ({reason})") from error


def describe(bundle: str | Path, *, allow_hub: bool = False) -> Manifest:
    """Read what a bundle says about itself, without loading the model.

    Args:
        bundle: Its folder, `tiny` for the built-in model, or `ORG/NAME[@REV]` of the Hub.
        allow_hub: Download one of the Hub, if its local cache lacks it.

    Returns:
        The manifest.

    Raises:
        BundleError: It is missing or damaged.
    """
    return read_manifest(bundle_folder(bundle, allow_hub=allow_hub))
