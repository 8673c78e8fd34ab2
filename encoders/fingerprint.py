"""One sha256 that changes when an encoder, or any module, would compute something else.

Does not cover the library version: it hashes settings and weights, not code.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

# Settings that say where a checkpoint came from or how it is stored, not what it computes.
_IGNORED_SETTINGS = frozenset(
    {
        "_name_or_path",
        "_commit_hash",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_processor_class",
        "architectures",
        "data_format",
        "default_to_square",
        "device",
        "disable_grouping",
        "dtype",
        "input_data_format",
        "processor_class",
        "return_tensors",
        "torch_dtype",
        "transformers_version",
    }
)
# Metadata of a dataclass field that fingerprints leave out at its default: of an option that a kind
# gained later, so that encoders that do not use it keep their fingerprints.
ADDED = {"added": True}


def fingerprint(
    kind: str,
    model: Any,
    *,
    preprocessor: object,
    read: object,
    ignored_weights: Collection[str] = (),
) -> str:
    """Hash an encoder's configuration, weights and options.

    Args:
        kind: the encoder's name in the registry.
        model: its `config` (of transformers, or a dataclass) and `state_dict` are hashed.
        preprocessor: a dataclass of preprocessing options.
        read: a dataclass of options that choose features.
        ignored_weights: names of weights that the features do not depend on.

    Returns:
        64 hexadecimal digits.
    """
    settings = {
        "kind": kind,
        "config": plain_settings(_config_settings(model.config)),
        "preprocessor": plain_settings(preprocessor),
        "read": plain_settings(read),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    # In the model's own order and without names: versions of transformers rename weights.
    for name, tensor in model.state_dict().items():
        if name not in ignored_weights:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def module_digest(module: nn.Module) -> str:
    """Hash everything that the function of a module in eval mode depends on.

    Args:
        module: What it is besides its weights, its parts and their attributes tell: numbers,
            words, and tuples, lists, mappings and dataclasses of them.

    Returns:
        64 hexadecimal digits.
    """
    options = [
        (name, value)
        for part in module.modules()
        for name, value in sorted(vars(part).items())
        if _is_plain(value)
    ]
    digest = hashlib.sha256(f"{module!r} {options}".encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _is_plain(value: Any) -> bool:
    """Whether an attribute is an option: words and numbers, or something made of them alone."""
    if is_dataclass(value) and not isinstance(value, type):
        return all(_is_plain(getattr(value, option.name)) for option in fields(value))
    if isinstance(value, Mapping):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _config_settings(config: Any) -> Any:
    """What a configuration sets, without what its class has by default."""
    return config.to_diff_dict() if isinstance(config, PretrainedConfig) else config


def plain_settings(value: Any) -> Any:
    """Settings as JSON types, without unset values and without provenance."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {"type": type(value).__name__} | {
            option.name: getattr(value, option.name)
            for option in fields(value)
            if not _is_unused(option, value)
        }
    elif hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {
            str(key): plain_settings(_one_name(key, item))
            for key, item in value.items()
            if item is not None and key not in _IGNORED_SETTINGS
        }
    if isinstance(value, list | tuple):
        return [plain_settings(item) for item in value]
    if isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _is_unused(option: Field[Any], value: Any) -> bool:
    """Whether an option was added later and is not used."""
    return option.metadata == ADDED and getattr(value, option.name) == option.default


def _one_name(key: str, value: Any) -> Any:
    """The name of an image processor without its backend: all backends share one checkpoint."""
    if key == "image_processor_type":
        return str(value).removesuffix("Pil").removesuffix("Fast")
    return value


def _bytes(tensor: Tensor) -> Any:
    """The raw bytes of a tensor, whatever its dtype."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()
