"""Start from a bundle: take over the trained weights that a model shares with it."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from anymal.assemble import Assembled
from anymal.bundle.facts import llm_facts, modality_facts
from anymal.bundle.manifest import (
    ALIGNERS,
    EXTRA_TOKENS,
    LORA,
    LORA_WEIGHTS,
    READOUTS,
    SIDE,
    Manifest,
    check_equal,
    read_manifest,
    read_weights,
)
from anymal.bundle.tuned import names_of_tuned, put_tuned, tuned_encoders
from anymal.errors import BundleError, RecipeError
from anymal.model import AnyMAL


def saved_state(
    folder: Path, manifest: Manifest, model: AnyMAL, *, with_lora: bool = True
) -> dict[str, Tensor]:
    """The weights of a bundle under the names of `AnyMAL.trainable_state`.

    Args:
        folder: Of the bundle.
        manifest: Of the bundle.
        model: Gives the names of LoRA's weights.
        with_lora: Whether LoRA is to be read; it is not where it is in the weights already.

    Returns:
        Aligners, and side, LoRA, extra tokens and read-outs where the bundle has them.

    Raises:
        BundleError: A file is missing or damaged.
    """
    weights = read_weights(folder / ALIGNERS)
    state = {f"aligners.{name}": tensor for name, tensor in weights.items()}
    if manifest.recipe.side is not None:
        side = read_weights(folder / SIDE)
        state |= {f"side.{name}": tensor for name, tensor in side.items()}
    if with_lora and manifest.lora is not None:
        names = model.llm.lora_names()
        for name, tensor in read_weights(folder / LORA / LORA_WEIGHTS).items():
            state[f"llm.{names.get(name, name)}"] = tensor
    if manifest.recipe.extra_tokens is not None:
        rows = read_weights(folder / EXTRA_TOKENS)
        state |= {f"extra_tokens.{name}": tensor for name, tensor in rows.items()}
    if manifest.recipe.readouts is not None:
        read = read_weights(folder / READOUTS)
        state |= {f"readouts.{name}": tensor for name, tensor in read.items()}
    return state


def take_over(folder: Path, assembled: Assembled, *, where: str) -> None:
    """Take over the aligners, side and LoRA of a bundle that this model shares with it.

    Args:
        folder: Of the bundle.
        assembled: What takes them over.
        where: Begins a message, such as the recipe's key.

    Raises:
        BundleError: A shared part differs, or a file is missing or damaged.
        RecipeError: Nothing is shared.
    """
    manifest, model = read_manifest(folder), assembled.model
    given, own = manifest.llm.model_dump(), llm_facts(assembled).model_dump()
    if given["trained"] not in (None, own["trained"]):
        raise BundleError(
            f"{where}: {str(folder)!r} trained its language model, so that it is another one now; "
            "set model.llm.path to bundle:llm"
        )
    for where_it_lies in ("path", "revision"):
        del given[where_it_lies]
    if manifest.lora is None:  # aligners may learn from plain captions, then from conversations
        del given["template"]
    check_equal(f"{where}: llm", given, own)
    check_equal(
        f"{where}: model",
        {"side": manifest.recipe.side},
        {"side": assembled.model_recipe.side},
    )
    for key in ("lora", "biases", "extra_tokens"):
        if (theirs := getattr(manifest.recipe, key)) is not None:
            ours = getattr(assembled.model_recipe, key)
            check_equal(f"{where}: model", {key: theirs}, {key: ours})
    shared = [name for name in manifest.modalities if name in model.aligners]
    _check_not_cached(folder, assembled, shared, where=where)
    put_tuned(folder, model, modalities=shared)
    for name in shared:
        facts = manifest.modalities[name].model_dump(exclude={"path"})
        check_equal(
            f"{where}: modalities.{name}", facts, modality_facts(assembled, name).model_dump()
        )
    if manifest.lora is None and not shared:
        raise RecipeError(
            f"{where}: {str(folder)!r} has aligners for {', '.join(manifest.modalities)}, none "
            f"of which is in model.modalities ({', '.join(model.aligners)})"
        )
    prefixes = ["llm.", "side.", "extra_tokens.", *(f"aligners.{name}." for name in shared)]
    prefixes += [f"readouts.{name}." for name in model.readouts]
    taken = {
        name: tensor
        for name, tensor in saved_state(folder, manifest, model).items()
        if name.startswith(tuple(prefixes))
    }
    model.load_trainable_state(model.trainable_state() | taken)


def _check_not_cached(
    folder: Path, assembled: Assembled, modalities: Sequence[str], *, where: str
) -> None:
    """Refuse features that an encoder gave before the bundle's training changed it."""
    for name in sorted(tuned_encoders(names_of_tuned(folder)) & set(modalities)):
        if assembled.processor.modalities[name].features is not None:
            raise BundleError(
                f"{where}: the encoder of {name} was trained, and features has what it gave "
                "before; set features to null"
            )
