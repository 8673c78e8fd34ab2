"""A language model as its class of transformers has it, to be written as a checkpoint.

No LoRA beside its layers, no quantisation, no layer of ours. Does not write it.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer, its weight transposed

from anymal.errors import BundleError
from anymal.llm.causal_lm import LLM
from anymal.llm.extra_tokens import ExtraTokens
from anymal.llm.merge_lora import layers_to_merge, merged_layer
from anymal.trainable.weights import without_adapters


@torch.no_grad()
def plain_model(llm: LLM, *, dtype: torch.dtype) -> Any:
    """Dequantise, add LoRA, and put the sum under the names of the class.

    Args:
        llm: As it was trained; its layers are taken over one by one, so that it cannot be used
            afterwards. LoRA is optional.
        dtype: Of the result, all of it.

    Returns:
        A transformers causal model of the same class. It is only fit to be saved or to give its
        weights: buffers that are not saved have no values.
    """
    model = llm.model
    # By name: a list of the layers would keep every old one in memory beside the new ones.
    for name in layers_to_merge(model):
        merged: Any = merged_layer(model.get_submodule(name))
        merged.weight.data = merged.weight.data.to(dtype)
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, merged)
    state = {
        name: tensor.to("cpu", dtype if tensor.is_floating_point() else None)
        for name, tensor in model.state_dict().items()
    }
    config = deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    head, table = (f"{name}.weight" for name in _names_of_words(model))
    # LoRA on the table of a model whose head is the same matrix moves one of the two.
    if config.tie_word_embeddings and not torch.equal(state[head], state[table]):
        config.tie_word_embeddings = False
    plain = _empty(model, _for_biases(config, state, model))
    for name, layer in plain.named_modules():
        if isinstance(layer, Conv1D):
            state[f"{name}.weight"] = state[f"{name}.weight"].T.contiguous()
    plain.load_state_dict(_with_biases(state, plain), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    if llm.extra is not None:
        _write_rows(plain, llm.extra)
    return plain.requires_grad_(False).eval()


_BIASED = ("attention_bias", "mlp_bias")  # keys of configurations of Llama's kind


def _for_biases(config: Any, state: dict[str, Tensor], model: Any) -> Any:
    """A configuration whose class has the biases that were added to a model, if one has them."""
    known = set(_empty(model, config).state_dict())
    added = sorted(state.keys() - known)
    if not added:
        return config
    for key in _BIASED:
        if hasattr(config, key):
            setattr(config, key, True)
    if unknown := sorted(state.keys() - set(_empty(model, config).state_dict())):
        raise BundleError(
            f"{type(model).__name__} has no place for {unknown[0]} (model.biases); the bundle "
            "serves it, and an export cannot hold it"
        )
    return config


def _with_biases(state: dict[str, Tensor], plain: Any) -> dict[str, Tensor]:
    """Weights with zeros for the biases that only the class has."""
    return state | {
        name: torch.zeros(empty.shape, dtype=empty.dtype)
        for name, empty in plain.state_dict().items()
        if name not in state and name.endswith(".bias")
    }


def _write_rows(plain: Any, extra: ExtraTokens) -> None:
    """Put the rows of extra words into the table and the head, which are made longer."""
    table = plain.get_input_embeddings()
    if extra.vocab_size > len(table.weight):
        plain.resize_token_embeddings(extra.vocab_size, mean_resizing=False)
    table, head = plain.get_input_embeddings(), plain.get_output_embeddings()
    table.weight.data[extra.ids] = extra.rows.to(table.weight)
    if head.weight is not table.weight:  # its own from the first, or parted from it by LoRA
        rows = extra.rows if extra.head_rows is None else extra.head_rows
        head.weight.data[extra.ids] = rows.to(head.weight)


def names_of_class(model: Any) -> set[str]:
    """The names of the weights that a class of transformers has, of which ours may have more.

    Args:
        model: Of transformers; stays as it is.
    """
    return set(_empty(model, deepcopy(model.config)).state_dict())


@torch.no_grad()
def bare_model(llm: LLM) -> Any:
    """A language model as it is held, without LoRA, and biases and words that were added to it.

    Args:
        llm: Not quantised; stays as it is.

    Returns:
        A transformers causal model of the same class, which shares its weights; only fit to be
        saved.
    """
    model = llm.model
    bare = _empty(model, deepcopy(model.config))
    own = {without_adapters(name): tensor for name, tensor in model.state_dict().items()}
    bare.load_state_dict({name: own[name] for name in bare.state_dict()}, assign=True)
    bare.tie_weights()
    bare.generation_config = model.generation_config
    return bare


def _empty(model: Any, config: Any) -> Any:
    """A model of the same class without weights."""
    with torch.device("meta"):
        return type(model)(config)


def _names_of_words(model: Any) -> tuple[str, str]:
    """Where the output head and the embedding table are."""
    names: dict[nn.Module, str] = {layer: name for name, layer in model.named_modules()}
    return names[model.get_output_embeddings()], names[model.get_input_embeddings()]
