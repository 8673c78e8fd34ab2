"""Where a language model reads beside its rows: before its decoder layers and after attention.

Nothing of the model is exchanged: a hook in front of each decoder layer, and the attention
function of `anymal.llm.attention`, ask the side that is active on the thread. What reads is in
`anymal.side`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from anymal.errors import RecipeError
from anymal.llm.causal_lm import LLM
from anymal.llm.packable import Unpackable, installed, layer_shapes
from anymal.side.base import SideLayers, read_before
from anymal.side.registry import build_side
from anymal.side.sizes import DecoderSizes


def build_beside(llm: LLM, kind: str, options: Mapping[str, Any]) -> SideLayers:
    """Build layers beside a language model, which from now on asks them.

    Args:
        llm: The language model.
        kind: See `anymal.side.registry`.
        options: Of the kind.

    Returns:
        The layers, on the CPU in float32.

    Raises:
        RecipeError: They do not fit the language model.
    """
    side = build_side(kind, sizes=decoder_sizes(llm), options=options)
    side.check(decoder_layers(llm))
    let_read_beside(llm)
    return side


def decoder_sizes(llm: LLM) -> DecoderSizes:
    """The sizes that layers beside a language model depend on.

    Raises:
        RecipeError: Its embeddings are of another width than its layers.
    """
    sizes = sizes_of(llm.model.config)
    if sizes.hidden_dim != llm.hidden_size:
        raise RecipeError(
            "model.side needs embeddings as wide as the layers; those of this language model have "
            f"{llm.hidden_size} entries, its layers {sizes.hidden_dim}; leave side out, or take "
            "another model"
        )
    return sizes


def sizes_of(config: Any) -> DecoderSizes:
    """The same, as a configuration of transformers states them."""
    config = config.get_text_config()
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    return DecoderSizes(
        num_layers=int(config.num_hidden_layers),
        hidden_dim=hidden,
        num_heads=heads,
        head_dim=int(getattr(config, "head_dim", None) or hidden // heads),
    )


def decoder_layers(llm: LLM) -> list[nn.Module]:
    """The decoder layers of a language model, in order.

    Raises:
        RecipeError: They are not in one list.
    """
    number = int(llm.model.config.get_text_config().num_hidden_layers)
    for module in llm.model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return list(module)
    raise RecipeError(
        f"model.side stands before decoder layers, and {type(llm.model).__name__} does not keep "
        "them in one list; leave side out, or take another model"
    )


def let_read_beside(llm: LLM) -> None:
    """Let the layers of a language model ask what is beside them; once is enough.

    Args:
        llm: While no side is active, it stays what it was.

    Raises:
        RecipeError: Its attention cannot be asked.
    """
    for number, layer in enumerate(decoder_layers(llm)):
        if not any(_is_ours(hook) for hook in layer._forward_pre_hooks.values()):
            layer.register_forward_pre_hook(partial(_ask, number), with_kwargs=True)
    try:
        with installed(llm):
            layer_shapes(llm)
    except Unpackable as error:
        raise RecipeError(
            f"model.side cannot stand beside this language model: {error}; leave side out, or take "
            "another model"
        ) from error


def _ask(
    number: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """In front of a decoder layer, as torch calls it."""
    if args:
        hidden: Tensor = args[0]
        return (read_before(number, hidden), *args[1:]), kwargs
    return args, kwargs | {"hidden_states": read_before(number, kwargs["hidden_states"])}


def _is_ours(hook: Any) -> bool:
    return isinstance(hook, partial) and hook.func is _ask
