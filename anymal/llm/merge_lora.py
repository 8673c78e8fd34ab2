"""A language model for answering: LoRA added to its weights, which are dequantised for that.

Does not train, and what comes out is not saved as a bundle.

The weights are the ones that LoRA was trained beside: of an `nf4` model the rounded ones, not those
of the checkpoint. Held in `fp32` the result is therefore the trained function, up to float
rounding, and on a CPU about twice as fast as `nf4`, which dequantises at every call. Held in `nf4`
or `int8` the sum would be rounded a second time; there LoRA stays beside the weights.
"""

from copy import copy
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer, its weight transposed

from anymal.errors import RecipeError
from anymal.llm.causal_lm import ADAPTER, LLM
from anymal.llm.dynamic_int8 import INT8_DYNAMIC, DynamicInt8Linear, check_dynamic_int8
from anymal.llm.lora import dequantised
from anymal.llm.packed_linear import prepack
from anymal.llm.precision import compute_dtype

MergedPrecision = Literal["fp32", "bf16", "int8-dynamic"]
MERGED_PRECISIONS: tuple[str, ...] = get_args(MergedPrecision)


@torch.no_grad()
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
    if precision not in MERGED_PRECISIONS:
        raise RecipeError(
            f"LoRA cannot be merged into {precision} weights: the sum would be rounded again; "
            f"merge into {', '.join(MERGED_PRECISIONS)}, or leave LoRA unmerged"
        )
    if precision == INT8_DYNAMIC:
        check_dynamic_int8(llm.device)
    model = llm.model
    head = model.get_output_embeddings()
    # By name: a list of the layers would keep every old one in memory beside the new ones.
    for name in layers_to_merge(model):
        layer = model.get_submodule(name)
        merged = merged_layer(layer)
        if precision == INT8_DYNAMIC and isinstance(merged, nn.Linear) and layer is not head:
            merged = DynamicInt8Linear(merged.weight, merged.bias)
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, merged)
    dtype = compute_dtype(precision, llm.device)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    prepack(model)  # where it is held in float32, on a CPU
    return LLM(model, llm.tokenizer, precision=precision, tuner=None)


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
    if isinstance(base, (nn.Linear, Conv1D)):
        weight = weight.T.contiguous() if isinstance(base, Conv1D) else weight
        plain: Any = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        plain.register_parameter("bias", base.bias)
    else:  # an embedding, say
        plain = copy(base)
        plain._parameters = dict(base._parameters)  # copy leaves it shared
    # A new parameter: the old one may also be another layer's, such as a tied output head's.
    plain.weight = nn.Parameter(weight, requires_grad=False)
    return plain  # type: ignore[no-any-return]  # built by type


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
