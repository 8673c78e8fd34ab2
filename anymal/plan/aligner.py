"""The size of an aligner and what it keeps for each media item, measured on the meta device.

Shapes: M media items, F features per item, Q soft tokens per item, D_enc encoder width.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from aligners.base import reads_text_of
from aligners.limits import MOST_TOKENS, AlignerError
from aligners.registry import build_aligner
from anymal.errors import RecipeError
from anymal.modality import MOST_FACTS
from anymal.plan.footprint import saved_bytes
from anymal.recipe.schema import AlignerRecipe, ModelRecipe
from encoders.base import Features, Layout

_WORDS = 64  # beside a medium, for aligners that read them


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligner:
    """Sizes of an aligner.

    Attributes:
        num_parameters: Held in float32.
        num_tokens: Q, of the longest media item.
        varies: Whether other items may have a smaller Q.
        kept: Bytes kept for the backward pass, of one media item; in float32.
        weights: Size of each parameter, by its name.
    """

    num_parameters: int
    num_tokens: int
    varies: bool
    kept: int
    weights: Mapping[str, int]


def measure_aligner(
    name: str, recipe: AlignerRecipe, *, encoder_dim: int, layout: Layout, llm_dim: int
) -> Aligner:
    """Build an aligner on the meta device and run one media item through it.

    Args:
        name: Of the modality.
        recipe: The aligner.
        encoder_dim: D_enc.
        layout: Of the features of the longest media item.
        llm_dim: Width of the language model's embeddings.

    Returns:
        Its sizes.

    Raises:
        RecipeError: An option does not fit, or the longest item would take more soft tokens than
            any may; the message names the key.
    """
    try:
        with torch.device("meta"):
            aligner = build_aligner(
                recipe.kind,
                encoder_dim=encoder_dim,
                llm_dim=llm_dim,
                embedding_rms=1.0,
                num_tokens=recipe.num_tokens,
                **recipe.options,
            )
            features = Features(
                values=torch.zeros(1, layout.count, encoder_dim),
                mask=torch.ones(1, layout.count, dtype=torch.bool),
                steps=torch.zeros(1, layout.count, dtype=torch.int64),
                layouts=(layout,),
                words=((0,) * _WORDS,) if reads_text_of(aligner) else None,
            )
            kept = saved_bytes(lambda: aligner(features), parameters=aligner.parameters())
        num_tokens = recipe.num_tokens
        if num_tokens is None:
            counting: Any = aligner
            num_tokens = _bounded(counting.count(layout))
    except AlignerError as error:
        raise RecipeError(f"modalities.{name}.aligner: {error}") from error
    return Aligner(
        num_parameters=sum(parameter.numel() for parameter in aligner.parameters()),
        num_tokens=num_tokens,
        varies=recipe.num_tokens is None,
        kept=kept,
        weights={name: parameter.numel() for name, parameter in aligner.named_parameters()},
    )


def facts_tokens(model: ModelRecipe, names: Collection[str]) -> int:
    """Most tokens of what is measured of one medium, of some modalities."""
    return max((MOST_FACTS[name] for name in names if model.modalities[name].facts), default=0)


def _bounded(num_tokens: int) -> int:
    """The number, unless it is more than one medium may take.

    Raises:
        AlignerError: It is.
    """
    if num_tokens > MOST_TOKENS:
        raise AlignerError(
            f"num_tokens is null, so the longest medium takes {num_tokens} soft tokens, and one "
            f"may take {MOST_TOKENS}; give a number, or let the encoder give fewer features (its "
            "options pool, num_frames, num_clips or max_windows)"
        )
    return num_tokens
