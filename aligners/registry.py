"""The one table of aligner kinds, and those of other packages."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from aligners.expand import Expand
from aligners.joint import Joint
from aligners.limits import AlignerError, check_num_tokens
from aligners.perceiver import Perceiver
from aligners.projection import Projection
from aligners.qformer import QFormer
from encoders.plugins import PluginError, find

ALIGNER_GROUP = "anymal.aligners"


def build_linear(
    *,
    encoder_dim: int,
    llm_dim: int,
    embedding_rms: float,
    num_tokens: int | None = 64,
    normalise: bool = True,
) -> Projection:
    """One linear layer, as the AnyMAL paper uses for sound and motion; see `Projection`."""
    return Projection(
        encoder_dim=encoder_dim,
        llm_dim=llm_dim,
        embedding_rms=embedding_rms,
        num_tokens=num_tokens,
        depth=1,
        norm="standard" if normalise else "none",
    )


def build_mlp(
    *,
    encoder_dim: int,
    llm_dim: int,
    embedding_rms: float,
    num_tokens: int | None = 64,
    normalise: bool = True,
) -> Projection:
    """Two linear layers with GELU between, as in LLaVA-1.5, which does not normalise."""
    return Projection(
        encoder_dim=encoder_dim,
        llm_dim=llm_dim,
        embedding_rms=embedding_rms,
        num_tokens=num_tokens,
        norm="standard" if normalise else "none",
    )


def projection_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an aligner is as a `Projection`, whatever recipes call it.

    Args:
        kind: A key of `ALIGNERS`.
        options: Of the kind.

    Returns:
        All options of `Projection`, defaults included; None if it is none.
    """
    parameters = inspect.signature(Projection).parameters
    given = dict(options)
    if kind in ("linear", "mlp"):
        is_normalised = given.pop("normalise", True)
        given |= {"depth": 1 if kind == "linear" else 2}
        given |= {"norm": "standard" if is_normalised else "none"}
    elif kind != "projection":
        return None
    defaults = {
        name: each.default for name, each in parameters.items() if each.default is not each.empty
    }
    return defaults | given


ALIGNERS: dict[str, Callable[..., nn.Module]] = {
    "perceiver": Perceiver,
    "linear": build_linear,
    "mlp": build_mlp,
    "projection": Projection,
    "expand": Expand,
    "joint": Joint,
    "qformer": QFormer,
}


def build_aligner(
    kind: str,
    *,
    encoder_dim: int,
    llm_dim: int,
    embedding_rms: float,
    num_tokens: int | None = 64,
    **options: Any,
) -> nn.Module:
    """Build an aligner with fresh weights from the global random state.

    Args:
        kind: A key of `ALIGNERS`, an entry point in the group `anymal.aligners`, or `module:name`
            of a class or function that takes the arguments below; see `encoders.plugins`.
        encoder_dim: Width of the features.
        llm_dim: Width of the language model's embeddings.
        embedding_rms: Root mean square of the language model's embedding table.
        num_tokens: Soft tokens per item, 1 to 4096; None gives one for each feature, where the
            kind can.
        options: Keyword arguments of the kind.

    Returns:
        An `Aligner`, on the CPU in float32.

    Raises:
        AlignerError: The kind or an option is unknown, or a number is out of range.
    """
    try:
        factory = find(kind, ALIGNERS, what="aligner", group=ALIGNER_GROUP, wanted=Callable)
    except PluginError as error:
        raise AlignerError(str(error)) from error
    check_num_tokens(kind, num_tokens)
    given = {"encoder_dim", "llm_dim", "embedding_rms", "num_tokens"}
    known = [name for name in inspect.signature(factory).parameters if name not in given]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise AlignerError(
            f"unknown option {', '.join(map(repr, unknown))} of aligner '{kind}'; "
            f"known: {', '.join(known)}"
        )
    return factory(
        encoder_dim=encoder_dim,
        llm_dim=llm_dim,
        embedding_rms=embedding_rms,
        num_tokens=num_tokens,
        **options,
    )
