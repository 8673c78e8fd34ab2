"""A language model as its class of transformers has it, to be written as a checkpoint.

No LoRA beside its layers, no quantisation, no layer of ours. Does not write it.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer, its weight transposed

from anymal.llm.causal_lm import LLM
from anymal.llm.merge_lora import layers_to_merge, merged_layer


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
    with torch.device("meta"):
        plain = type(model)(config)
    for name, layer in plain.named_modules():
        if isinstance(layer, Conv1D):
            state[f"{name}.weight"] = state[f"{name}.weight"].T.contiguous()
    plain.load_state_dict(state, assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain.requires_grad_(False).eval()


def _names_of_words(model: Any) -> tuple[str, str]:
    """Where the output head and the embedding table are."""
    names: dict[nn.Module, str] = {layer: name for name, layer in model.named_modules()}
    return names[model.get_output_embeddings()], names[model.get_input_embeddings()]
