"""Tiny random checkpoints of the classes that a recipe names, for a run that costs seconds.

Widths and depths shrink; classes, preprocessing, patch grids and windows stay what they are. Does
not choose what to stand in for (see `train.dry_run.run`).
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.errors import RecipeError
from anymal.recipe.file import TINY
from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import EncoderRecipe, LlmRecipe
from train.dry_run.processors import write_processor
from train.dry_run.sizes import shrunk

_MIN_LAYERS = 2


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
    small = shrunk(config, num_layers=_MIN_LAYERS) | words
    auto: Any = AutoModelForCausalLM  # untyped
    model = auto.from_config(type(config).from_dict(small))
    tokenizer.save_pretrained(folder)
    return _save(model, folder, replaced=recipe.path, is_guess=is_guess)


def write_encoder(recipe: EncoderRecipe, folder: Path) -> StandIn:
    """Write an encoder with its preprocessing.

    Args:
        recipe: Names the one to stand in for.
        folder: Where it goes.

    Returns:
        What was written.

    Raises:
        RecipeError: The configuration of the encoder cannot be had.
    """
    if recipe.kind.startswith("imagebind_"):
        return _write_imagebind(recipe.path, folder)
    is_guess = _is_missing(recipe.path)
    config = _encoder_config(recipe, is_guess=is_guess)
    layer = recipe.options.get("layer") or 0
    small = type(config).from_dict(shrunk(config, num_layers=max(_MIN_LAYERS, abs(layer))))
    model = _own_models().get(recipe.kind, _auto_model)(small)
    write_processor(recipe.kind, small, folder)
    for file in Path(recipe.path).glob("*processor_config.json"):  # of a folder, as it is
        shutil.copy(file, folder)
    return _save(model, folder, replaced=recipe.path, is_guess=is_guess)


def _write_imagebind(path: str, folder: Path) -> StandIn:
    """Write ImageBind's trunks, which are no transformers models, under their published names."""
    from safetensors.torch import load_file

    from encoders.imagebind.checkpoint import save_random
    from encoders.imagebind.trunk import ImageBindShape, ImageBindTrunk

    save_random(folder, ImageBindShape.tiny())
    [weights] = (load_file(file) for file in folder.glob("*.safetensors"))
    return StandIn(
        replaced=path,
        path=folder,
        class_name=ImageBindTrunk.__name__,
        is_guess=False,
        num_weights=sum(weight.numel() for weight in weights.values()),
    )


def _is_missing(path: str) -> bool:
    """Whether a path on this machine leads nowhere; a Hub id is not such a path."""
    return path.startswith("${") or (Path(path).is_absolute() and not Path(path).exists())


def _encoder_config(recipe: EncoderRecipe, *, is_guess: bool) -> Any:
    """The configuration of an encoder's checkpoint, or the default of its kind."""
    if is_guess:
        if recipe.kind not in _usual_configs():
            raise RecipeError(
                f"{recipe.path!r} does not exist, and no stand-in is known for an encoder of kind "
                f"{recipe.kind!r}; known: {', '.join(_usual_configs())}"
            )
        return _usual_configs()[recipe.kind]
    own = _own_models().get(recipe.kind)
    return config_of(recipe.path) if own is None else own.config_class.from_pretrained(recipe.path)


def _own_models() -> Mapping[str, Any]:
    """This project's own model classes, which transformers' auto classes do not know."""
    from encoders.imu.imu2clip import Imu2ClipModel
    from encoders.imu.transformer import ImuTransformerModel

    return {"imu_transformer": ImuTransformerModel, "imu2clip": Imu2ClipModel}


def _auto_model(config: Any) -> Any:
    """A model of the class that transformers has for a configuration."""
    from transformers import AutoModel

    build: Callable[[Any], Any] = AutoModel.from_config
    return build(config)


def _usual_configs() -> dict[str, Any]:
    """What a checkpoint of each kind usually is."""
    import transformers as t

    own = {kind: model.config_class() for kind, model in _own_models().items()}
    return own | {
        "vision": t.CLIPVisionConfig(),
        "frames": t.CLIPVisionConfig(),
        "x_clip": t.XCLIPConfig(),
        "videomae": t.VideoMAEConfig(),
        "vjepa2": t.VJEPA2Config(),
        "clap": t.ClapConfig(),
        "whisper": t.WhisperConfig(),
        "ast": t.ASTConfig(),
        "spectrogram": t.ResNetConfig(num_channels=1),
    }


def _save(model: Any, folder: Path, *, replaced: str, is_guess: bool) -> StandIn:
    """Save a model."""
    model.save_pretrained(folder)
    return StandIn(
        replaced=replaced,
        path=folder,
        class_name=type(model).__name__,
        is_guess=is_guess,
        num_weights=sum(weight.numel() for weight in model.parameters()),
    )
