"""The sizes that a language model's memory depends on, counted on the meta device.

Knows nothing of precision (see `anymal.plan.weights`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from anymal.errors import RecipeError
from anymal.llm.auto_class import auto_causal_lm
from anymal.llm.decode_check import check_arguments
from anymal.recipe.known_configs import config_of
from anymal.trainable.rules import Weight
from anymal.trainable.weights import weights_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A linear layer of the language model.

    Attributes:
        name: Dotted, as in the model.
        in_dim: Width of its input.
        out_dim: Width of its output.
    """

    name: str
    in_dim: int
    out_dim: int

    @property
    def num_weights(self) -> int:
        """Entries of the matrix."""
        return self.in_dim * self.out_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModel:
    """Sizes of a decoder.

    Attributes:
        num_parameters: All of them; tied ones once.
        linears: All linear layers but the output head.
        num_layers: Decoder layers.
        embedding_dim: D_llm, width of the embedding table.
        hidden_dim: Width of the layers.
        num_heads: Heads of attention.
        query_dim: Width of all heads' queries together.
        key_dim: Width of all heads' keys together, which is less where heads share them.
        head_dim: Width of one head.
        ffn_dim: Width inside the feed-forward layer.
        is_gated: Whether the feed-forward layer multiplies two projections.
        vocab_size: V.
        head_width: Width of the output head's input.
        has_own_head: Whether the output head is another matrix than the embedding table.
        context: Most positions of a sequence; None where the configuration states no end.
        weights: By the names of `AnyMAL`'s parameters.
    """

    num_parameters: int
    linears: tuple[Linear, ...]
    num_layers: int
    embedding_dim: int
    hidden_dim: int
    num_heads: int
    query_dim: int
    key_dim: int
    head_dim: int
    ffn_dim: int
    is_gated: bool
    vocab_size: int
    head_width: int
    has_own_head: bool
    context: int | None
    weights: Mapping[str, Weight]

    @property
    def input_width(self) -> int:
        """Sum of the widths of the linear layers' inputs."""
        return input_width(self.linears)

    @property
    def num_linear_weights(self) -> int:
        """Entries of all matrices but the output head's."""
        return sum(linear.num_weights for linear in self.linears)


@lru_cache
def read_language_model(path: str, revision: str | None = None) -> LanguageModel:
    """Count a language model.

    Args:
        path: See `anymal.recipe.known_configs.config_of`.
        revision: Hub revision.

    Returns:
        Its sizes.

    Raises:
        RecipeError: There is no such configuration, it is not of a causal language model that can
            be used, or its sizes are missing.
    """
    config = config_of(path, revision)
    try:
        with torch.device("meta"):
            model = auto_causal_lm().from_config(config)
    except ValueError as error:
        raise RecipeError(f"{path!r} is not a causal language model: {error}") from error
    check_arguments(model, path)
    config = config.get_text_config()
    needed = ("num_attention_heads", "num_hidden_layers", "hidden_size")
    if missing := [name for name in needed if not hasattr(config, name)]:
        raise RecipeError(
            f"the sizes of {path!r} are unknown: its configuration ({config.model_type}) has no "
            f"{', '.join(missing)}; only transformers with attention can be planned"
        )
    heads = int(config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    ffn_dim = int(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    linears = _linears(model)
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return LanguageModel(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        linears=linears,
        num_layers=int(config.num_hidden_layers),
        embedding_dim=table.shape[1],
        hidden_dim=int(config.hidden_size),
        num_heads=heads,
        query_dim=heads * head_dim,
        key_dim=int(getattr(config, "num_key_value_heads", None) or heads) * head_dim,
        head_dim=head_dim,
        ffn_dim=ffn_dim,
        is_gated=_is_gated(linears, ffn_dim, int(config.num_hidden_layers)),
        vocab_size=table.shape[0],
        head_width=head.shape[1],
        has_own_head=head is not table,
        context=getattr(config, "max_position_embeddings", None),
        weights=weights_of(model, "llm.model."),
    )


def input_width(linears: Iterable[Linear]) -> int:
    """Sum of the widths of linear layers' inputs; one that a module's layers share counts once.

    Args:
        linears: Of one model.

    Returns:
        Numbers of one token.
    """
    shared = {(linear.name.rpartition(".")[0], linear.in_dim) for linear in linears}
    return sum(width for _, width in shared)


def _linears(model: nn.Module) -> tuple[Linear, ...]:
    """The linear layers, without the output head."""
    head = model.get_output_embeddings()  # type: ignore[operator]  # of transformers
    return tuple(
        Linear(name=name, in_dim=module.in_features, out_dim=module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    )


def _is_gated(linears: tuple[Linear, ...], ffn_dim: int, num_layers: int) -> bool:
    """Whether each layer has two matrices into the feed-forward width, or one of twice that."""
    widths = [linear.out_dim for linear in linears]
    return widths.count(ffn_dim) >= 2 * num_layers or widths.count(2 * ffn_dim) >= num_layers
