"""A recipe that adds to the model of a bundle, whose parts it names instead of repeating them.

`bundle:llm` is the language model of `start_from`, with its prompt format and its modalities;
`bundle:encoders/NAME` is the encoder of one of them. Loads no weights (`anymal.bundle.start`).
"""

from typing import Any

from anymal.bundle.imports import check_imports
from anymal.bundle.manifest import EMBEDDED, Manifest, bundle_folder, read_manifest
from anymal.errors import RecipeError
from anymal.recipe.schema import ModalityRecipe, ModelRecipe, Recipe
from anymal.recipe.section import Section

_LLM = f"{EMBEDDED}llm"
_ENCODER = f"{EMBEDDED}encoders/"


def extended(recipe: Recipe) -> Recipe:
    """The recipe with the parts of `start_from` that it names.

    With `llm.path: bundle:llm`, what the recipe does not say of the language model, of LoRA and of
    prompts is as in the bundle, and the bundle's modalities, and what its chat template writes for
    them, come before the recipe's own.

    Args:
        recipe: As it was read.

    Returns:
        The same recipe without such names.

    Raises:
        RecipeError: There is no `start_from`, or it has no such part.
        BundleError: It is missing or damaged, or would import code.
    """
    model = recipe.model
    encoders = {name: modality.encoder.path for name, modality in model.modalities.items()}
    paths = (model.llm.path, *encoders.values())
    named = [path for path in paths if path is not None and path.startswith(EMBEDDED)]
    if not named:
        return recipe
    if model.start_from is None:
        raise RecipeError(f"{named[0]!r} is a part of model.start_from, which is not set; set it")
    manifest = read_manifest(bundle_folder(model.start_from))
    check_imports(manifest.recipe)
    modalities = {
        name: _with_encoder(modality, manifest, where=f"model.modalities.{name}")
        for name, modality in model.modalities.items()
    }
    whole = model.model_copy(update={"modalities": modalities})
    if model.llm.path == _LLM:
        whole = _on_top(whole, manifest.recipe)
    elif model.llm.path.startswith(EMBEDDED):
        raise RecipeError(f"model.llm.path is {model.llm.path!r}; the only such name is {_LLM}")
    return recipe.model_copy(update={"model": whole})


def _with_encoder(modality: ModalityRecipe, manifest: Manifest, *, where: str) -> ModalityRecipe:
    """A modality whose encoder is found, if it is one of the bundle's."""
    path = modality.encoder.path
    if path is None or not path.startswith(EMBEDDED):
        return modality
    theirs = manifest.recipe.modalities
    name = path.removeprefix(_ENCODER)
    if name not in theirs:
        known = ", ".join(f"{_ENCODER}{each}" for each in theirs)
        raise RecipeError(f"{where}.encoder.path is {path!r}; model.start_from has {known}")
    found = modality.encoder.model_copy(update={"path": theirs[name].encoder.path})
    return modality.model_copy(update={"encoder": found})


def _on_top(model: ModelRecipe, base: ModelRecipe) -> ModelRecipe:
    """A model with everything that it does not say taken from another."""
    llm = base.llm.model_copy(update=_said(model.llm, but="path"))
    if model.llm.markers and base.llm.markers:
        llm = llm.model_copy(update={"markers": base.llm.markers | model.llm.markers})
    said = _said(model, but="llm")
    said["modalities"] = base.modalities | model.modalities
    return base.model_copy(update={"llm": llm, **said})


def _said(section: Section, *, but: str) -> dict[str, Any]:
    """The keys of a section that the recipe gives."""
    return {key: getattr(section, key) for key in section.model_fields_set - {but}}
