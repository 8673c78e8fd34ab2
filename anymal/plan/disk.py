"""Bytes of a run on a disk: checkpoints to download, checkpoints of training, bundles.

Measures nothing, and does not say what else a run costs (see `cost.py`).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from anymal.plan.stage import Parts
from anymal.plan.trainable import Lora
from anymal.plan.trained import Trained, weights_in, what_trains
from anymal.plan.weights import compute_bytes
from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import Recipe
from encoders.registry import encoder_kind

# Bytes of a weight in published files whose configuration does not say: language models come in 16
# bits, encoders in 32.
_LLM_FILE_BYTES, _ENCODER_FILE_BYTES = 2, 4
_FLOAT = 4


def download_bytes(recipe: Recipe, parts: Parts) -> dict[str, int]:
    """Bytes of the weights that a Hub has, by id; what is on this machine is left out."""
    llm, sizes = recipe.model.llm, {}
    if _is_hub_id(llm.path):
        number = _number_bytes(config_of(llm.path, llm.revision), _LLM_FILE_BYTES)
        sizes[llm.path] = number * parts.llm.num_parameters
    for modality in recipe.model.modalities.values():
        kind, path = modality.encoder.kind, modality.encoder.path
        # A kind that reads its own configuration is a file of the user's.
        if path is not None and _is_hub_id(path) and encoder_kind(kind).read_config is None:
            sizes[path] = _encoder_bytes(path)
    return sizes


def training_state_bytes(recipe: Recipe, parts: Parts) -> int:
    """Bytes of the largest checkpoint of training: what trained, and the optimiser's state."""
    lora = Lora.of(recipe.model.lora, parts.llm).num_parameters
    number = compute_bytes(recipe.model.llm.precision, "cpu")
    beside = sum(w.size for n, w in weights_in(recipe.model, parts).items() if _is_beside(n))
    weights = _FLOAT * (
        sum(each.num_parameters for each in parts.aligners.values()) + lora + beside
    )
    tuned, states = 0, []
    for stage in recipe.stages:
        trained = what_trains(stage, recipe.model, parts)
        tuned = max(tuned, number * trained.own + _FLOAT * _encoder_numbers(parts, trained))
        best = weights + tuned if stage.keep == "best" else 0
        states.append(weights + tuned + trained.optimiser_bytes(stage, number) + best)
    return max(states)


def bundle_bytes(recipe: Recipe, parts: Parts) -> int:
    """Bytes of the largest bundle: what trained, and copies of the parts that it embeds."""
    model = recipe.model
    beside = sum(w.size for n, w in weights_in(model, parts).items() if _is_beside(n))
    floats = sum(aligner.num_parameters for aligner in parts.aligners.values()) + beside
    floats += Lora.of(model.lora, parts.llm).num_parameters
    downloads = download_bytes(recipe, parts)
    trained = [what_trains(stage, model, parts) for stage in recipe.stages]
    own = {name for each in trained for name in each.encoders}
    encoders = {name: modality.encoder for name, modality in model.modalities.items()}
    embedded = {
        each.path
        for name, each in encoders.items()
        if (each.embed or name in own) and each.path is not None
    }
    is_whole = any(each.linears for each in trained)
    if model.llm.embed and not is_whole:
        embedded.add(model.llm.path)
    number = compute_bytes(model.llm.precision, "cpu")
    tuned = number * (parts.llm.num_parameters if is_whole else max(e.own for e in trained))
    tuned += _FLOAT * max(_encoder_numbers(parts, each) for each in trained)
    copies = sum(downloads.get(path) or _files(path) for path in embedded)
    return _FLOAT * floats + tuned + copies


def _encoder_numbers(parts: Parts, trained: Trained) -> int:
    """How many numbers of encoders train."""
    return sum(
        parts.encoders[name].weights[inner]
        for name, own in trained.encoders.items()
        for inner in own
    )


def _is_beside(name: str) -> bool:
    return name.startswith(("side.", "extra_tokens.", "readouts."))


def _files(path: str) -> int:
    """Bytes of a checkpoint folder's weights."""
    return sum(file.stat().st_size for file in Path(path).glob("*.safetensors"))


def _is_hub_id(path: str) -> bool:
    """Whether a checkpoint has to be downloaded; a variable that is not set begins a path."""
    return not Path(path).is_absolute() and not path.startswith("${")


@lru_cache
def _encoder_bytes(path: str) -> int:
    """Bytes of a published encoder's whole checkpoint, with the weights that encoders leave out."""
    config = config_of(path)
    build: Any = AutoModel  # untyped
    with torch.device("meta"):
        model = build.from_config(config)
    count: int = sum(weight.numel() for weight in model.parameters())
    return _number_bytes(config, _ENCODER_FILE_BYTES) * count


def _number_bytes(config: Any, default: int) -> int:
    """Bytes of one weight in a checkpoint's files."""
    dtype = getattr(config, "dtype", None)
    return int(dtype.itemsize) if isinstance(dtype, torch.dtype) else default
