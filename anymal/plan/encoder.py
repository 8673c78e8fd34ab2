"""The size of an encoder and what it needs for each media item, before its weights are loaded.

Does not build encoders (`encoders.outline` does, without memory).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from anymal.errors import RecipeError
from anymal.plan.footprint import Peak, saved_bytes
from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import EncoderRecipe
from encoders.base import EncoderError, Layout
from encoders.frozen import WINDOWS_AT_ONCE
from encoders.outline import Outline, outline
from encoders.registry import encoder_kind

_FLOAT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Sizes of an encoder.

    Attributes:
        num_parameters: How many weights it has.
        width: D_enc.
        layout: Of the longest media item.
        num_windows: W, of the longest media item.
        working: Numbers that it holds while it encodes one window; an upper bound, because all
            hidden states are kept and attention may not run as one fused kernel.
        weights: Size of each parameter, by its name.
        outline: What is measured again where it trains.
    """

    num_parameters: int
    width: int
    layout: Layout
    num_windows: int
    working: int
    weights: Mapping[str, int]
    outline: Outline

    @property
    def num_features(self) -> int:
        """F of the longest media item."""
        return self.layout.count

    def encoding(self, num_items: int) -> int:
        """Numbers held while it encodes media items: of the windows at work and all features."""
        at_once = min(num_items * self.num_windows, WINDOWS_AT_ONCE)
        return at_once * self.working + num_items * self.num_features * self.width


def kept_bytes(encoder: Encoder, trained: Collection[str]) -> int:
    """Bytes that one media item keeps for the backward pass of an encoder, in float32.

    Args:
        encoder: Of a plan.
        trained: Names of its weights that train.

    Returns:
        Bytes of all its windows.
    """
    model = encoder.outline.model
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    with torch.device("meta"):
        kept = saved_bytes(encoder.outline.encode, parameters=model.parameters())
    return encoder.num_windows * kept


def measure_encoder(name: str, recipe: EncoderRecipe) -> Encoder:
    """Compute an encoder's sizes from its configuration.

    Args:
        name: Of the modality.
        recipe: The encoder.

    Returns:
        Its sizes.

    Raises:
        RecipeError: They cannot be computed; the message names the key.
    """
    try:
        if _is_folder(recipe.path):  # which may change
            return _measure(recipe.kind, recipe.path, recipe.options)
        options = json.dumps(recipe.options, sort_keys=True)
        return _measure_published(recipe.kind, recipe.path, options)
    except EncoderError as error:
        raise RecipeError(f"modalities.{name}.encoder: {error}") from error


@lru_cache(maxsize=64)
def _measure_published(kind: str, path: str | None, options: str) -> Encoder:
    """Sizes of a Hub id or of nothing, whose options are JSON."""
    return _measure(kind, path, json.loads(options))


def _is_folder(path: str | None) -> bool:
    return path is not None and Path(path).is_dir()


def _measure(kind: str, path: str | None, options: dict[str, Any]) -> Encoder:
    """Draw the encoder's outline and watch what it takes."""
    has_own = encoder_kind(kind).read_config is not None or _is_folder(path)
    config = None if path is None or has_own else config_of(path)
    peak = Peak()
    with peak:
        found = outline(kind, config, path, **options)
    # The outline is drawn in float32.
    return Encoder(
        num_parameters=found.num_parameters,
        width=found.width,
        layout=found.layout,
        num_windows=found.num_windows,
        working=max(0, peak.bytes // _FLOAT - found.num_parameters),
        weights={name: p.numel() for name, p in found.model.named_parameters()},
        outline=found,
    )
