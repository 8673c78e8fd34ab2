"""Aligners that were trained apart, beside the same language model, in one bundle.

Each modality is aligned without the others (AnyMAL, arXiv 2309.16058, section 3.1), so that runs of
their own can do it at the same time. Does not join LoRA: two of them are not the sum of both.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anymal.assemble import build
from anymal.bundle.imports import check_imports
from anymal.bundle.manifest import Manifest, bundle_folder, check_equal, read_manifest
from anymal.bundle.parts import THIS_MACHINE, with_local_parts
from anymal.bundle.save import free_folder, save_bundle
from anymal.bundle.start import take_over
from anymal.errors import BundleError
from anymal.recipe.schema import ModalityRecipe


def join_bundles(bundles: Sequence[str | Path], out: Path) -> Path:
    """Write one bundle that has the aligners of several.

    Args:
        bundles: At least two, without LoRA, no modality in two of them.
        out: Where it goes; an older bundle there is replaced.

    Returns:
        The folder written.

    Raises:
        BundleError: They cannot be joined, one is missing or damaged, or `out` is taken.
        RecipeError: A part cannot be built.
    """
    out = free_folder(out)
    folders = [bundle_folder(bundle) for bundle in bundles]
    manifests = [read_manifest(folder) for folder in folders]
    if len(folders) < 2:
        raise BundleError("joining takes at least two bundles; one is one already")
    first = manifests[0]
    modalities: dict[str, ModalityRecipe] = {}
    for folder, manifest in zip(folders, manifests, strict=True):
        _check_joins(folder, manifest, first, taken=modalities)
        check_imports(manifest.recipe)
        modalities |= manifest.recipe.modalities
    markers = {
        name: marker
        for manifest in manifests
        for name, marker in (manifest.recipe.llm.markers or {}).items()
    }
    llm = first.recipe.llm.model_copy(update={"markers": markers})
    recipe = first.recipe.model_copy(update={"llm": llm, "modalities": modalities})
    local = [
        with_local_parts(manifest.recipe, folder, THIS_MACHINE)
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    parts = {name: part for each in local for name, part in each.modalities.items()}
    llm = local[0].llm.model_copy(update={"markers": markers})
    assembled = build(local[0].model_copy(update={"llm": llm, "modalities": parts}))
    assembled = replace(assembled, model_recipe=recipe)
    for folder in folders:
        take_over(folder, assembled, where=str(folder))
    return save_bundle(
        assembled,
        out,
        stages=[stage for manifest in manifests for stage in manifest.stages],
        data_sources=_without_repeats(manifests),
    )


def _check_joins(
    folder: Path, manifest: Manifest, first: Manifest, *, taken: dict[str, ModalityRecipe]
) -> None:
    """Refuse what cannot stand beside the bundles before it."""
    if manifest.lora is not None:
        raise BundleError(
            f"{str(folder)!r} has LoRA, which was trained beside its own aligners only; join the "
            "bundles of align stages, then train LoRA from what comes of it"
        )
    repeated = sorted(manifest.recipe.modalities.keys() & taken.keys())
    if repeated:
        raise BundleError(
            f"{str(folder)!r} has an aligner for {', '.join(repeated)}, and so has a bundle before "
            "it; join bundles that share no modality"
        )
    where_it_lies = {"path", "revision", "embed", "markers"}  # markers are joined
    check_equal(
        f"{folder}: recipe.llm",
        first.recipe.llm.model_dump(exclude=where_it_lies),
        manifest.recipe.llm.model_dump(exclude=where_it_lies),
    )
    check_equal(
        f"{folder}: recipe",
        {key: getattr(first.recipe, key) for key in ("media_first", "needs_media")},
        {key: getattr(manifest.recipe, key) for key in ("media_first", "needs_media")},
    )


def _without_repeats(manifests: Sequence[Manifest]) -> list[Any]:
    """The data of all bundles, each once."""
    sources: list[Any] = []
    for manifest in manifests:
        sources += [source for source in manifest.data_sources if source not in sources]
    return sources
