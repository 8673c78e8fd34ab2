"""What a class of transformers can hold of a bundle: a table, by the options of recipes.

Holds no class; those live in one file per family and are listed in `anymal.published.export_class`.
Does not write files.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aligners.registry import projection_options
from anymal.published.base import Published
from anymal.recipe.schema import EncoderRecipe, ModelRecipe
from encoders.registry import encoder_kind

# Where a class cannot hold a bundle, or a part of it.
NEXT_STEP = "write its language model alone, with --to merged"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Whole:
    """What a bundle computes with, taken apart.

    Attributes:
        llm: From `anymal.llm.plain.plain_model`, with a row for `token`.
        tokenizer: Knows `token`; has the chat template.
        token: What the class replaces by the soft tokens of a medium.
        encoder: Of the modality that the class has.
        aligner: Of that modality.
        options: All options of the encoder and of the aligner, defaults included.
    """

    llm: Any
    tokenizer: Any
    token: str
    encoder: Any
    aligner: Any
    options: Mapping[str, Any]

    @property
    def token_id(self) -> int:
        """The id of `token`."""
        return int(self.tokenizer.convert_tokens_to_ids(self.token))


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Values of an option that a class can hold.

    Attributes:
        told: What errors call them.
        holds: Whether a value is one of them.
    """

    told: str
    holds: Callable[[Any], bool]


def one_of(*values: Any) -> Allowed:
    """Some values."""
    told = " or ".join("null" if value is None else str(value).lower() for value in values)
    return Allowed(told=told, holds=lambda value: value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A class of transformers that can hold some bundles.

    Attributes:
        class_name: As in `architectures` of `config.json`.
        modality: The one that it has.
        encoder: Kind of the encoder.
        options: Allowed values of the encoder's and the aligner's options, by `encoder.NAME` and
            `aligner.NAME`; of one that is not named, the default alone. The aligner is a
            projection.
        token: What stands for a medium where the bundle's template writes nothing.
        build: The class with the weights of a bundle.
        lacks: What a bundle does not have and the class's own programs need; see `Written`.
    """

    class_name: str
    modality: str
    encoder: str
    options: Mapping[str, Allowed]
    token: str
    build: Callable[[Whole], Published]
    lacks: str = ""

    def misfit(self, recipe: ModelRecipe, llm_width: int) -> "Misfit | None":
        """Why a bundle cannot be held; None if it can.

        Args:
            recipe: Of the bundle.
            llm_width: D_llm.
        """
        if others := sorted(recipe.modalities.keys() - {self.modality}):
            return Misfit(stage=0, keys=[f"it has no place for modalities.{o}" for o in others])
        where, part = f"modalities.{self.modality}", recipe.modalities[self.modality]
        keys = []
        if part.encoder.kind != self.encoder:
            keys.append(f"{where}.encoder.kind is {part.encoder.kind}, and it has {self.encoder}")
        if projection_options(part.aligner.kind, part.aligner.options) is None:
            keys.append(f"{where}.aligner.kind is {part.aligner.kind}, and it has projection")
        if keys:
            return Misfit(stage=1, keys=keys)
        found = all_options(recipe, self.modality, llm_width)
        for key, default in _defaults(part.encoder).items():  # others are refused by loading
            allowed = self.options.get(key, one_of(default))
            if not allowed.holds(found[key]):
                shown = one_of(found[key]).told
                keys.append(f"{where}.{key} is {shown}, and it has {allowed.told}")
        return Misfit(stage=2, keys=keys) if keys else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """Why a class cannot hold a bundle.

    Attributes:
        stage: How far it fits: 0 not the modalities, 1 not the kinds, 2 all but some options.
        keys: What of the recipe does not fit, as sentences.
    """

    stage: int
    keys: list[str]


def all_options(recipe: ModelRecipe, modality: str, llm_width: int) -> dict[str, Any]:
    """All options of a modality's parts, by `encoder.NAME` and `aligner.NAME`.

    Args:
        recipe: Of the bundle; the aligner is a projection.
        modality: Which.
        llm_width: D_llm, which is the width between two layers where none is given.

    Returns:
        The options, defaults included.
    """
    part = recipe.modalities[modality]
    aligner = projection_options(part.aligner.kind, part.aligner.options)
    assert aligner is not None, part.aligner.kind
    if aligner["hidden_dim"] == llm_width:
        aligner["hidden_dim"] = None
    aligner["num_tokens"] = part.aligner.num_tokens
    own = _encoder_defaults(part.encoder) | part.encoder.options
    options = {f"encoder.{name}": value for name, value in own.items()}
    return options | {f"aligner.{name}": value for name, value in aligner.items()}


def _defaults(encoder: EncoderRecipe) -> dict[str, Any]:
    """What the options of an encoder, and of a projection, are if none are given."""
    aligner = projection_options("projection", {}) or {}
    options = {f"encoder.{name}": value for name, value in _encoder_defaults(encoder).items()}
    return options | {f"aligner.{name}": value for name, value in aligner.items()}


def _encoder_defaults(encoder: EncoderRecipe) -> dict[str, Any]:
    parameters = inspect.signature(encoder_kind(encoder.kind).build).parameters
    return {name: each.default for name, each in parameters.items() if name != "path"}
