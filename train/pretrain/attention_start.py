"""Where the attention of a small Llama starts, so that it soon finds words again.

Mimetic initialisation (Trockman and Kolter 2023, arXiv 2305.09828): keys start much like queries,
so that a word looks for itself, and outputs undo values, so that what is found is handed on as it
is. In addition, the heads of the first layer start with their eyes one, two or three words back:
biases of query and key, turned by the rotary angles of that distance. Nothing is kept so; training
changes all of it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import init

_DISTANCES = (1, 1, 2, 3)
_SHARPNESS = 4.0
_LIKENESS = 0.7  # of keys to queries
_HANDED_ON = 0.3  # share of the values that the output gives back


@torch.no_grad()
def start_attention(model: Any) -> None:
    """Set the attention weights of every layer.

    Args:
        model: A `LlamaForCausalLM` with as many key heads as query heads, and attention biases.
    """
    for number, layer in enumerate(model.model.layers):
        attention = layer.self_attn
        width = attention.q_proj.in_features
        query, own = (torch.randn(width, width) / width**0.5 for _ in range(2))
        attention.q_proj.weight.copy_(query)
        attention.k_proj.weight.copy_(_LIKENESS * query + (1 - _LIKENESS) * own)
        value = init.orthogonal_(torch.empty(width, width))
        attention.v_proj.weight.copy_(value)
        attention.o_proj.weight.copy_(_HANDED_ON * value.T)
        for projection in (attention.q_proj, attention.k_proj):
            init.normal_(projection.bias, std=0.1)
        if number == 0:
            _look_back(attention, model.model.rotary_emb.inv_freq)


def _look_back(attention: Any, frequencies: Tensor) -> None:
    """Give each head a distance.

    Args:
        attention: The first layer's.
        frequencies: Rotary angles per position, `[head_dim / 2]`.
    """
    num_heads = attention.q_proj.out_features // (2 * len(frequencies))
    queries, keys = [], []
    for head in range(num_heads):
        phase = torch.rand(len(frequencies)) * 2 * torch.pi
        # Rotation adds position times frequency: this much apart, query and key end in phase.
        ahead = phase + _DISTANCES[head % len(_DISTANCES)] * frequencies
        queries.append(_SHARPNESS * torch.cat([phase.cos(), phase.sin()]))
        keys.append(_SHARPNESS * torch.cat([ahead.cos(), ahead.sin()]))
    for projection, biases in ((attention.q_proj, queries), (attention.k_proj, keys)):
        projection.bias.copy_(torch.cat(biases))
        projection.weight.mul_(0.1)  # at first, place decides and not the word
