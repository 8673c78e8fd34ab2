"""What a recipe takes before a machine is asked: checkpoints to fetch, tokens, hours on one card.

Does not plan memory (see `anymal.plan`) and measures nothing: hours come from a rate that others
published, scaled by the number of weights.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import Recipe, StageRecipe

# Text of a sample besides the soft tokens: an assumption. A caption behind a short prompt; a few
# turns of a conversation.
TEXT_TOKENS = {"align": 64, "instruct": 256}
# A weight in published files: language models in 16 bits, encoders in 32.
_LLM_FILE_BYTES, _ENCODER_FILE_BYTES = 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU, as fast as others saw it train.

    Attributes:
        name: What it is called.
        tokens_per_s: Positions a second through `PUBLISHED_WEIGHTS` weights in NF4 with LoRA and
            checkpointing.
    """

    name: str
    tokens_per_s: float


# fsdp_qlora, benchmarks of March 2024: LLaMA-2-70B, context 2048, per GPU (4 H100, 8 A100).
PUBLISHED_WEIGHTS = 68.7e9
CARDS = (Card(name="H100", tokens_per_s=786.0), Card(name="A100", tokens_per_s=390.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNeeds:
    """What one stage takes.

    Attributes:
        name: Of the stage.
        samples: Over all its steps.
        soft_tokens: Of a sample with one medium, of the widest modality that trains.
        text_tokens: Of a sample, assumed.
    """

    name: str
    samples: int
    soft_tokens: int
    text_tokens: int

    @property
    def tokens(self) -> int:
        """Positions through the language model."""
        return self.samples * (self.soft_tokens + self.text_tokens)


def stage_needs(recipe: Recipe, stage: StageRecipe) -> StageNeeds:
    """Count what passes through the language model in a stage.

    Args:
        recipe: Its model gives the soft tokens.
        stage: One of its stages.

    Returns:
        The counts.
    """
    modalities = recipe.model.modalities
    names = stage.modalities or list(modalities)
    return StageNeeds(
        name=stage.name,
        samples=stage.steps * stage.batch_size * stage.accumulate,
        soft_tokens=max(modalities[name].aligner.num_tokens for name in names),
        text_tokens=TEXT_TOKENS[stage.kind],
    )


def tokens_per_s(card: Card, *, num_weights: int) -> float:
    """How fast a card trains.

    A step costs 6 FLOPs for each weight and token with checkpointing (forward, forward again,
    backward to the inputs), so the rate falls as the number of weights rises.

    Args:
        card: Where.
        num_weights: Of the language model, without its embedding table.

    Returns:
        Positions a second.
    """
    return card.tokens_per_s * PUBLISHED_WEIGHTS / num_weights


def checkpoint_bytes(recipe: Recipe) -> dict[str, int]:
    """Size what has to be fetched from a Hub: the weights, as published files hold them.

    Args:
        recipe: Its paths on this machine are left out.

    Returns:
        Bytes by Hub id, the language model first.

    Raises:
        RecipeError: A configuration cannot be had.
    """
    llm = recipe.model.llm.path
    encoders = [modality.encoder.path for modality in recipe.model.modalities.values()]
    sizes = {llm: _LLM_FILE_BYTES * _llm_weights(llm).total} if _is_hub_id(llm) else {}
    for path in filter(_is_hub_id, encoders):
        sizes[path] = _ENCODER_FILE_BYTES * _encoder_weights(path)
    return sizes


def describe_needs(recipe: Recipe) -> list[str]:
    """Say what a recipe takes: the disk, the time of each stage, and what the times assume.

    Args:
        recipe: A checked recipe whose language model's configuration can be had.

    Returns:
        Sentences as they stand in the header of a shipped recipe.

    Raises:
        RecipeError: A configuration cannot be had.
    """
    sizes = checkpoint_bytes(recipe)
    each = ", ".join(f"{path} {size / 1e9:.1f} GB" for path, size in sizes.items())
    lines = [f"Disk: {sum(sizes.values()) / 1e9:.0f} GB of checkpoints ({each})."]
    num_weights = _llm_weights(recipe.model.llm.path).without_embeddings
    rates = {card.name: tokens_per_s(card, num_weights=num_weights) for card in CARDS}
    for stage in recipe.stages:
        needs = stage_needs(recipe, stage)
        times = [f"{_duration(needs.tokens / rate)} on one {name}" for name, rate in rates.items()]
        lines.append(
            f"Time of {needs.name}: {needs.samples:,} samples x ({needs.soft_tokens} soft + "
            f"{needs.text_tokens} text) tokens = {needs.tokens / 1e6:,.0f} M, {', '.join(times)}."
        )
    assumed = " and ".join(f"{rate:,.0f} ({name})" for name, rate in rates.items())
    lines.append(
        f"Assumed: {assumed} tokens a second through {num_weights / 1e9:.1f} G weights, scaled "
        f"from what fsdp_qlora published for {PUBLISHED_WEIGHTS / 1e9:.1f} G."
    )
    return lines


def _duration(seconds: float) -> str:
    """Seconds as hours, or as days where there are many."""
    hours = seconds / 3600
    if hours < 96:
        return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
    return f"{hours / 24:,.0f} days"


def _is_hub_id(path: str) -> bool:
    """Whether a checkpoint has to be fetched; a variable that is not set begins a path."""
    return not Path(path).is_absolute() and not path.startswith("${")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    total: int
    without_embeddings: int


@lru_cache
def _llm_weights(path: str) -> _Weights:
    """Count a language model's weights on a model without memory."""
    import torch
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM  # untyped
    with torch.device("meta"):
        model = build.from_config(config_of(path))
    total = sum(weight.numel() for weight in model.parameters())
    embeddings = model.get_input_embeddings().weight.numel()
    return _Weights(total=total, without_embeddings=total - embeddings)


@lru_cache
def _encoder_weights(path: str) -> int:
    """Count all weights of a checkpoint, those that encoders leave out too."""
    import torch
    from transformers import AutoModel

    build: Any = AutoModel  # untyped
    with torch.device("meta"):
        model = build.from_config(config_of(path))
    return sum(weight.numel() for weight in model.parameters())
