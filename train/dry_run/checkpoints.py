"""Tiny random checkpoints of the classes that a recipe names, for a run that costs seconds.

Widths and depths shrink; classes, preprocessing, patch grids and windows stay what they are. Does
not choose what to stand in for (see `train.dry_run.run`).
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.bundle.manifest import EMBEDDED
from anymal.errors import RecipeError
from anymal.recipe.file import TINY
from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import EncoderRecipe, LlmRecipe
from encoders.base import EncoderError
from encoders.kind import EncoderKind
from encoders.registry import encoder_kind
from train.dry_run.sizes import shrunk

MIN_LAYERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A checkpoint that was written in place of another.

    Attributes:
        replaced: What the recipe names.
        path: What it may name instead.
        class_name: Of the model.
        is_guess: Nothing lies where the recipe points, so the class is the usual one of its kind.
        num_weights: Of the stand-in.
    """

    replaced: str
    path: Path
    class_name: str
    is_guess: bool
    num_weights: int

    def __str__(self) -> str:
        """A line for the user."""
        guess = ", the usual class, since nothing lies there" if self.is_guess else ""
        return f"{self.replaced}: a {self.class_name} of {self.num_weights:,} weights{guess}"


def write_llm(recipe: LlmRecipe, folder: Path) -> StandIn:
    """Write a language model with the built-in model's tokeniser.

    Args:
        recipe: Names the one to stand in for.
        folder: Where it goes.

    Returns:
        What was written.

    Raises:
        RecipeError: The configuration of the language model cannot be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    is_guess = _is_missing(recipe.path)
    config = LlamaConfig() if is_guess else config_of(recipe.path, recipe.revision)
    tokenizer = AutoTokenizer.from_pretrained(TINY / "llm")
    if recipe.template == "chatml":
        tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    words: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,  # its row of a random table would be zero
    }
    small = shrunk(config, num_layers=MIN_LAYERS) | words
    auto: Any = AutoModelForCausalLM  # untyped
    model = auto.from_config(type(config).from_dict(small))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return _stand_in(model, folder, replaced=recipe.path, is_guess=is_guess)


def write_encoder(recipe: EncoderRecipe, folder: Path) -> StandIn:
    """Write an encoder with its preprocessing.

    Args:
        recipe: Names the one to stand in for; has a path.
        folder: Where it goes.

    Returns:
        What was written.

    Raises:
        RecipeError: The configuration of the encoder cannot be had.
    """
    path = recipe.path
    assert path is not None, "there is nothing to stand in for"
    is_guess = _is_missing(path)
    try:
        kind = encoder_kind(recipe.kind)
        config = _small_config(kind, path, recipe.options, is_guess=is_guess)
        model = kind.save_random(config, folder)
    except EncoderError as error:
        raise RecipeError(f"encoder of kind {recipe.kind!r}: {error}") from error
    for file in Path(path).glob("*processor_config.json"):  # of a folder, as it is
        shutil.copy(file, folder)
    return _stand_in(model, folder, replaced=path, is_guess=is_guess)


def _is_missing(path: str) -> bool:
    """Whether a path on this machine leads nowhere; a Hub id is not such a path."""
    is_elsewhere = path.startswith(("${", EMBEDDED))
    return is_elsewhere or (Path(path).is_absolute() and not Path(path).exists())


def _small_config(
    kind: EncoderKind, path: str, options: Mapping[str, Any], *, is_guess: bool
) -> Any:
    """The configuration of an encoder's checkpoint, or the usual one of its kind, made small."""
    if kind.tiny_config is not None:
        return kind.tiny_config()
    if is_guess:
        config = kind.usual_config()
    else:
        config = config_of(path) if kind.read_config is None else kind.config(path)
    return type(config).from_dict(shrunk(config, num_layers=_deepest(options.get("layer"))))


def _deepest(layer: Any) -> int:
    """How many layers a stand-in needs so that one, or several, can be read."""
    layers: list[int] = layer if isinstance(layer, list) else [layer or 0]
    return max(MIN_LAYERS, *map(abs, layers))


def _stand_in(model: Any, folder: Path, *, replaced: str, is_guess: bool) -> StandIn:
    """What a saved model stands in for."""
    return StandIn(
        replaced=replaced,
        path=folder,
        class_name=type(model).__name__,
        is_guess=is_guess,
        num_weights=sum(weight.numel() for weight in model.parameters()),
    )
