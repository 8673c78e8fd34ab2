"""Aligners that were trained apart, beside the same language model, in one bundle.

Each modality is aligned without the others (AnyMAL, arXiv 2309.16058, section 3.1), so that runs of
their own can do it at the same time. Runs that started from one bundle share its aligners, which
join if nothing trained them. Does not join LoRA: two of them are not the sum of both.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from anymal.assemble import build
from anymal.bundle.imports import check_imports
from anymal.bundle.manifest import (
    ALIGNERS,
    Manifest,
    bundle_folder,
    check_equal,
    read_manifest,
    read_weights,
)
from anymal.bundle.parts import THIS_MACHINE, with_local_parts
from anymal.bundle.save import free_folder, save_bundle
from anymal.bundle.start import take_over
from anymal.bundle.tuned import names_of_tuned
from anymal.errors import BundleError
from anymal.recipe.schema import ModalityRecipe


def join_bundles(bundles: Sequence[str | Path], out: Path) -> Path:
    """Write one bundle that has the aligners of several.

    Args:
        bundles: At least two, without LoRA; a modality in two of them is the same in both.
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
    owners: dict[str, Path] = {}
    for folder, manifest in zip(folders, manifests, strict=True):
        _check_joins(folder, manifest, first, owners)
        check_imports(manifest.recipe)
        for name, modality in manifest.recipe.modalities.items():
            modalities.setdefault(name, modality)
            owners.setdefault(name, folder)
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
    parts: dict[str, ModalityRecipe] = {}
    for each in reversed(local):  # of a shared one, the first
        parts |= each.modalities
    llm = local[0].llm.model_copy(update={"markers": markers})
    assembled = build(local[0].model_copy(update={"llm": llm, "modalities": parts}))
    assembled = replace(assembled, model_recipe=recipe)
    for folder in folders:
        take_over(folder, assembled, where=str(folder))
    return save_bundle(
        assembled,
        out,
        stages=_without_repeats([manifest.stages for manifest in manifests]),
        data_sources=_without_repeats([manifest.data_sources for manifest in manifests]),
    )


def _check_joins(
    folder: Path, manifest: Manifest, first: Manifest, owners: dict[str, Path]
) -> None:
    """Refuse what cannot stand beside the bundles before it, which have aligners already."""
    if manifest.lora is not None:
        raise BundleError(
            f"{str(folder)!r} has LoRA, which was trained beside its own aligners only; join the "
            "bundles of align stages, then train LoRA from what comes of it"
        )
    own = manifest.recipe
    if own.extra_tokens or own.biases or own.readouts or names_of_tuned(folder):
        raise BundleError(
            f"{str(folder)!r} has trained more than aligners (extra tokens, biases, read-outs, or "
            "weights of its language model or encoders), which cannot be those of another bundle "
            "too; join the bundles of align stages, then train the rest from what comes of it"
        )
    if manifest.recipe.side is not None:
        raise BundleError(
            f"{str(folder)!r} has layers beside the row (recipe.model.side), which were trained "
            "with its own aligners only; train their modalities in one run"
        )
    repeated = manifest.recipe.modalities.keys() & owners.keys()
    differing = sorted(name for name in repeated if not _is_same(name, folder, owners[name]))
    if differing:
        raise BundleError(
            f"{str(folder)!r} has an aligner for {', '.join(differing)}, and a bundle before it "
            "has another; join bundles that share only what they started from"
        )
    where_it_lies = {"path", "revision", "embed", "markers"}  # markers are joined
    check_equal(
        f"{folder}: recipe.llm",
        first.recipe.llm.model_dump(exclude=where_it_lies),
        manifest.recipe.llm.model_dump(exclude=where_it_lies),
    )
    check_equal(
        f"{folder}: recipe",
        {key: getattr(first.recipe, key) for key in ("media_first", "needs_media", "clock")},
        {key: getattr(manifest.recipe, key) for key in ("media_first", "needs_media", "clock")},
    )


def _is_same(name: str, folder: Path, other: Path) -> bool:
    """Whether two bundles have one encoder and aligner of a modality, and write it alike."""
    facts, weights = [], []
    for place in (folder, other):
        manifest = read_manifest(place)
        written = manifest.recipe.modalities[name].model_dump(include={"prefix", "suffix", "facts"})
        written["marker"] = (manifest.recipe.llm.markers or {}).get(name)
        facts.append(manifest.modalities[name].model_dump(exclude={"path"}) | written)
        everything = read_weights(place / ALIGNERS)
        weights.append({key: everything[key] for key in everything if key.startswith(f"{name}.")})
    ours, theirs = weights
    return (
        facts[0] == facts[1]
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[key], theirs[key]) for key in ours)
    )


def _without_repeats(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The items of all lists, each once."""
    items: list[Any] = []
    for one in lists:
        items += [item for item in one if item not in items]
    return items
