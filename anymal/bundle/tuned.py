"""Weights of pretrained parts that training changed: norms, biases and encoders, in one file.

The file has them by the names of `AnyMAL`'s parameters, without LoRA's. They are put over the
checkpoint's own as a bundle is loaded. A language model of which more trained is saved whole.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from anymal.bundle.manifest import MANIFEST, TUNED, read_manifest, read_weights
from anymal.errors import BundleError
from anymal.llm.load import without_progress
from anymal.llm.plain import bare_model, names_of_class
from anymal.model import AnyMAL
from anymal.trainable.weights import without_adapters
from encoders.base import Encoder

TRAINED = "anymal_trained"  # key of a configuration: SHA-256 of the weights that training made
_SHARD = "5GB"
_LLM, _ENCODERS = "llm.", "encoders."


def write_tuned(model: AnyMAL, draft: Path) -> int:
    """Write the file, if there is anything to write; a whole language model is not in it.

    Args:
        model: As it was trained.
        draft: Of the bundle.

    Returns:
        How many weights it holds.
    """
    saved = names_of_class(model.llm.model) if llm_trained(model) else set()
    plain = {without_adapters(name): tensor for name, tensor in model.tuned_state().items()}
    state = {
        name: tensor.cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in plain.items()
        if name.removeprefix("llm.model.") not in saved
    }
    if state:
        (draft / TUNED).write_bytes(save(state))
    return len(state)


def write_trained_llm(model: AnyMAL, folder: Path) -> None:
    """Write the language model as a checkpoint: its own weights, without LoRA and extra tokens.

    Args:
        model: As it was trained; stays as it is.
        folder: With the checkpoint's other files.
    """
    bare, config = bare_model(model.llm), model.llm.model.config
    with without_progress():
        bare.save_pretrained(folder, max_shard_size=_SHARD)
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        file.chmod((folder / "config.json").stat().st_mode)  # its owner's alone, as it is written
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    setattr(config, TRAINED, digest.hexdigest())  # tells it from what it was before
    setattr(bare.config, TRAINED, digest.hexdigest())
    bare.config.save_pretrained(folder)


def llm_trained(model: AnyMAL) -> bool:
    """Whether matrices of the language model trained, so that it is another one now."""
    return any(
        name.startswith(_LLM) and tensor.ndim > 1 for name, tensor in model.tuned_state().items()
    ) and model.llm.precision not in ("nf4", "int8")


def tuned_encoders(names: Collection[str]) -> set[str]:
    """The modalities whose encoders trained, from names of weights."""
    return {name.split(".")[1] for name in names if name.startswith(_ENCODERS)}


def names_of_tuned(folder: Path) -> list[str]:
    """The names in a bundle's file; none without one.

    Raises:
        BundleError: It is damaged, or is not there, or lacks weights that the manifest counts.
    """
    path, names = folder / TUNED, []
    if path.is_file():
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{path} cannot be read ({error}); copy the bundle again") from error
    expected = read_manifest(folder).num_tuned
    if expected is not None and len(names) != expected:
        raise BundleError(
            f"{path} holds {len(names)} trained weights where {MANIFEST} counts {expected}; "
            "copy the bundle again"
        )
    if strange := [name for name in names if not name.startswith((_LLM, _ENCODERS))]:
        raise BundleError(f"{path} holds {strange[0]!r}, of no pretrained part; copy it again")
    return names


@torch.no_grad()
def put_tuned(
    folder: Path, model: AnyMAL, *, modalities: Collection[str], with_llm: bool = True
) -> None:
    """Put a bundle's trained weights over those of a model, and take new fingerprints.

    Args:
        folder: Of the bundle.
        model: Built from the same checkpoints.
        modalities: Whose encoders are looked at.
        with_llm: Whether the language model's are; they may be in its weights already.

    Raises:
        BundleError: The file is damaged, or a weight does not fit.
    """
    found = names_of_tuned(folder)
    chosen = {name for name in found if name.startswith(_LLM) and with_llm}
    encoders = tuned_encoders(found) & set(modalities)
    chosen |= {name for name in found if tuned_encoders([name]) & encoders}
    if not chosen:
        return
    state = read_weights(folder / TUNED)
    own = {without_adapters(name): (name, p) for name, p in model.named_parameters()}
    for name in sorted(chosen):
        shape = tuple(own[name][1].shape) if name in own else None
        if shape != tuple(state[name].shape):
            raise BundleError(
                f"{folder / TUNED}: {name} is {tuple(state[name].shape)}, and "
                f"{shape or 'absent'} in this model; copy the bundle again"
            )
        own[name][1].copy_(state[name])
    model.keep_tuned(own[name][0] for name in chosen)
    for name in encoders:
        cast(Encoder, model.encoders[name]).renew_fingerprint()
