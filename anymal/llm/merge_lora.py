"""A language model for answering: LoRA added to its weights, which are dequantised for that.

Does not train, and what comes out is not saved as a bundle.

The weights are the ones that LoRA was trained beside: of an `nf4` model the rounded ones, not those
of the checkpoint. Held in `fp32` the result is therefore the trained function, up to float
rounding, and on a CPU about twice as fast as `nf4`, which dequantises at every call. Held in `int8`
or `int4` the sum is rounded a second time, for speed and memory on a CPU (`weight_only.py`): all
linear layers, the output head and the embedding table. This `int8` is not bitsandbytes' LLM.int8,
which is what the word means wherever LoRA stays beside the weights.
"""

import logging
from copy import copy
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer, its weight transposed

from anymal.errors import RecipeError
from anymal.llm.causal_lm import ADAPTER, LLM, MAGNITUDE
from anymal.llm.extra_tokens import table_factor
from anymal.llm.lora import dequantised
from anymal.llm.packed_linear import prepack
from anymal.llm.precision import compute_dtype
from anymal.llm.weight_only import WEIGHT_ONLY, WeightOnlyLinear, check_weight_only
from anymal.llm.weight_only_words import WeightOnlyEmbedding, WeightOnlyHead

logger = logging.getLogger(__name__)

MergedPrecision = Literal["fp32", "bf16", "int8", "int4"]
MERGED_PRECISIONS: tuple[str, ...] = get_args(MergedPrecision)


def merge(llm: LLM, *, precision: str) -> LLM:
    """Dequantise, add LoRA, and hold the sum at another precision; layer by layer, in place.

    Args:
        llm: As it was trained; its layers are taken over. LoRA is optional.
        precision: How the result holds its weights, one of `MERGED_PRECISIONS`.

    Returns:
        The same function in the other precision, without LoRA.

    Raises:
        RecipeError: It cannot be held so, or not on this device.
    """
    merge_layers(llm, precision=precision)
    return laid_out(llm, precision=precision)


@torch.no_grad()
def merge_layers(llm: LLM, *, precision: str) -> None:
    """The first half of `merge`: what it leaves in `llm.model` can be kept and used again.

    Args:
        llm: As for `merge`. On the meta device the result is empty, and has the same layers.
        precision: As for `merge`.

    Raises:
        RecipeError: As `merge` does.
    """
    if precision not in MERGED_PRECISIONS:
        raise RecipeError(
            f"LoRA cannot be merged into {precision} weights: the sum would be rounded again; "
            f"merge into {', '.join(MERGED_PRECISIONS)}, or leave LoRA unmerged"
        )
    model, device = llm.model, llm.device
    if precision in WEIGHT_ONLY:
        check_weight_only(precision, device)
        _hold_words(model)
    # By name: a list of the layers would keep every old one in memory beside the new ones.
    for name in layers_to_merge(model):
        merged = merged_layer(model.get_submodule(name))
        if precision in WEIGHT_ONLY and isinstance(merged, nn.Linear):
            merged = WeightOnlyLinear.rounded(merged.weight, merged.bias, precision)
        _exchange(model, name, merged)
    dtype = compute_dtype(precision, device)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def laid_out(llm: LLM, *, precision: str) -> LLM:
    """The second half of `merge`: the weights as this machine's kernels read them fastest.

    Args:
        llm: Of which `merge_layers` merged the layers; its layers are taken over.
        precision: How they are held.

    Returns:
        What answers.
    """
    prepack(llm.model)  # where it is held in float32, on a CPU
    held = LLM(llm.model, llm.own_tokenizer, precision=precision, tuner=None)
    held.use_extra_tokens(llm.extra, llm.tokenizer)
    return held


def _hold_words(model: Any) -> None:
    """Hold output head and embedding table in 8 bits, at every weight-only precision.

    At 4 bits the words alone cost SmolLM2-135M 0.08 nats of loss on prose, at 8 bits 0.002.
    """
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    names = {layer: name for name, layer in model.named_modules() if layer in (head, table)}
    are_tied = head.weight is table.weight and not has_lora(head) and not has_lora(table)
    plain: Any = merged_layer(head)
    held = WeightOnlyHead.rounded(plain.weight, plain.bias, "int8")
    _exchange(model, names[head], held)
    words: Any = table if are_tied else merged_layer(table)
    factor = table_factor(words)
    if factor is None:
        logger.warning(
            "the embedding table stays as it is: %s looks words up in a way of its own",
            type(words).__name__,
        )
        return
    rounded = held if are_tied else WeightOnlyLinear.rounded(words.weight, None, "int8")
    _exchange(model, names[table], WeightOnlyEmbedding(rounded, factor=factor))


def _exchange(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of another."""
    parent, _, own_name = name.rpartition(".")
    setattr(model.get_submodule(parent), own_name, layer)


def merged_layer(layer: Any) -> nn.Module:
    """A linear layer or an embedding with its weight dequantised and LoRA added.

    Args:
        layer: Of a language model; stays as it is.

    Returns:
        A plain layer that computes the same.
    """
    base: Any = layer.base_layer if has_lora(layer) else layer
    weight: Tensor = dequantised(base)
    if has_lora(layer):
        weight = weight.float() + layer.get_delta_weight(ADAPTER)
        if ADAPTER in (sizes := getattr(layer, MAGNITUDE)):
            weight = _resized(weight, sizes[ADAPTER].weight, is_by_row=isinstance(base, nn.Linear))
    if isinstance(base, (nn.Linear, Conv1D)):
        weight = weight.T.contiguous() if isinstance(base, Conv1D) else weight
        plain: Any = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        plain.register_parameter("bias", base.bias)
    else:  # an embedding, say
        plain = copy(base)
        plain._parameters = dict(base._parameters)  # copy leaves it shared
    is_as_it_was = weight.data_ptr() == base.weight.data_ptr() and weight.shape == base.weight.shape
    if is_as_it_was and type(base.weight) is nn.Parameter:
        plain.weight = base.weight  # which may be another layer's too: a tied head stays tied
    else:
        plain.weight = nn.Parameter(weight, requires_grad=False)
    return plain  # type: ignore[no-any-return]  # built by type


def _resized(weight: Tensor, sizes: Tensor, *, is_by_row: bool) -> Tensor:
    """Scale each output's weights to the norm that DoRA learnt (arXiv 2402.09353, eq. 5).

    Args:
        weight: `[outputs, inputs]` if `is_by_row`, else `[inputs, outputs]`.
        sizes: `[outputs]`.
        is_by_row: Whether the weights of an output are a row.
    """
    norms: Tensor = torch.linalg.vector_norm(weight, dim=1 if is_by_row else 0)
    factors = sizes / norms
    return weight * (factors[:, None] if is_by_row else factors)


def has_lora(module: nn.Module) -> bool:
    """Whether this is one of PEFT's layers with our adapter.

    Args:
        module: Of a language model.

    Returns:
        Whether it is.
    """
    return ADAPTER in getattr(module, "lora_A", {}) or ADAPTER in getattr(
        module, "lora_embedding_A", {}
    )


def layers_to_merge(model: nn.Module) -> list[str]:
    """Names of the layers that LoRA is attached to, and of linear layers without it.

    Args:
        model: A transformers causal model; stays as it is.

    Returns:
        The names, in the order of the model.
    """
    names: list[str] = []
    for name, module in model.named_modules():
        is_inside = bool(names) and name.startswith(f"{names[-1]}.")
        if not is_inside and (has_lora(module) or isinstance(module, (nn.Linear, Conv1D))):
            names.append(name)
    return names
