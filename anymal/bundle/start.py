"""Start from a bundle: take over the aligners, side and LoRA that a model shares with it."""

from pathlib import Path

from torch import Tensor

from anymal.assemble import Assembled
from anymal.bundle.facts import llm_facts, modality_facts
from anymal.bundle.manifest import (
    ALIGNERS,
    LORA,
    LORA_WEIGHTS,
    SIDE,
    Manifest,
    check_equal,
    read_manifest,
    read_weights,
)
from anymal.errors import RecipeError
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
        Aligners, and side and LoRA where the bundle has them.

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
    shared = [name for name in manifest.modalities if name in model.aligners]
    for name in shared:
        facts = manifest.modalities[name].model_dump(exclude={"path"})
        check_equal(
            f"{where}: modalities.{name}", facts, modality_facts(assembled, name).model_dump()
        )
    if manifest.lora is not None:
        check_equal(
            f"{where}: model",
            {"lora": manifest.lora},
            {"lora": assembled.model_recipe.lora},
        )
    elif not shared:
        raise RecipeError(
            f"{where}: {str(folder)!r} has aligners for {', '.join(manifest.modalities)}, none "
            f"of which is in model.modalities ({', '.join(model.aligners)})"
        )
    prefixes = ("llm.", "side.", *(f"aligners.{name}." for name in shared))
    taken = {
        name: tensor
        for name, tensor in saved_state(folder, manifest, model).items()
        if name.startswith(prefixes)
    }
    model.load_trainable_state(model.trainable_state() | taken)
