"""Where the attention of a small Llama starts: with heads that find words again.

To answer about a description, a word of the question must be found in it, what stands beside that
word must be read, and be said some words later. Heads that do so (induction heads: Olsson et al.
2022, arXiv 2209.11895) form late by themselves, here not within thousands of steps. Started as
below, they are right after a hundred:

1. heads of the first layer look one, two or three words back and note what is there;
2. heads of the second find the words that note the word at hand, and note them (what came after),
   or find the same word, and note what it notes (what came before);
3. heads of the third hand on what words nearby have found.

Notes of different kinds are kept in directions of their own. Nothing is fixed; training changes
all of it.

Shapes: W width, H head size.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import init

# Words of a list stand next to each other; the words of a description up to three apart.
_DISTANCES = (1, 2, 3)
_STD = 0.03  # of all other attention weights, small beside these
_SHARPNESS = 6.0  # of looking back
_LIKENESS = 2.0  # of queries and keys that compare
_NOTED = 0.4  # share of what is read
_SAID = 0.8  # share of what was found
_MLP = 0.3  # share of its usual start: what it writes by chance blurs what is compared
# Rotary angles per position: fast ones tell near places apart, slow ones leave words alike across
# a description.
_FAST, _SLOW = 0.05, 0.015


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Blocks:
    """Orthogonal directions of the residual stream, `[H, W]` each.

    Attributes:
        word: Of the word itself, as far as it is compared and read.
        seen: Of the words so many places back, a block for each distance.
        after: Of what was found to follow the word.
        before: Of what was found to come before it.
    """

    word: Tensor
    seen: tuple[Tensor, ...]
    after: Tensor
    before: Tensor


@torch.no_grad()
def start_attention(model: Any) -> None:
    """Set the attention weights of every layer.

    Args:
        model: A `LlamaForCausalLM` of three layers or more with six heads or more, as many for
            keys as for queries, and attention biases.
    """
    for layer in model.model.layers:
        attention = layer.self_attn
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
            init.normal_(projection.weight, std=_STD)
        layer.mlp.down_proj.weight.mul_(_MLP)
    first, second, third = (layer.self_attn for layer in model.model.layers[:3])
    frequencies = model.model.rotary_emb.inv_freq
    blocks = _draw_blocks(first.q_proj.in_features, first.head_dim)
    for head, (distance, seen) in enumerate(zip(_DISTANCES, blocks.seen, strict=True)):
        _look_back(first, head, distance, frequencies)
        _hand_on(first, head, blocks.word, seen, _NOTED)
        _compare(second, head, blocks.word, seen, frequencies)
        _hand_on(second, head, blocks.word, blocks.after, _NOTED)
        other = head + len(_DISTANCES)
        _compare(second, other, blocks.word, blocks.word, frequencies)
        _hand_on(second, other, seen, blocks.before, _NOTED)
    for head, found in enumerate((blocks.after, blocks.before)):
        _hand_on(third, head, found, blocks.word, _SAID)


def _draw_blocks(width: int, size: int) -> _Blocks:
    """Cut a random rotation of the residual stream into blocks."""
    rotation = init.orthogonal_(torch.empty(width, width))
    word, *seen, after, before = rotation[: (len(_DISTANCES) + 3) * size].view(-1, size, width)
    return _Blocks(word=word, seen=tuple(seen), after=after, before=before)


def _rows(attention: Any, head: int) -> slice:
    return slice(head * attention.head_dim, (head + 1) * attention.head_dim)


def _look_back(attention: Any, head: int, distance: int, frequencies: Tensor) -> None:
    """Let a head attend so many words back, by biases that rotate into phase there.

    Args:
        attention: A layer's.
        head: Its number.
        distance: In tokens.
        frequencies: Rotary angles per position, `[H / 2]`.
    """
    rows = _rows(attention, head)
    phase = torch.rand(len(frequencies)) * 2 * torch.pi
    strength = _SHARPNESS * (frequencies > _FAST)
    for projection, angle in (
        (attention.q_proj, phase),
        (attention.k_proj, phase + distance * frequencies),
    ):
        projection.bias[rows] = torch.cat([strength * angle.cos(), strength * angle.sin()])
        projection.weight[rows] *= 0.1  # at first, place decides and not the word


def _compare(attention: Any, head: int, query: Tensor, key: Tensor, frequencies: Tensor) -> None:
    """Let a head attend where one block holds what another holds at the word at hand."""
    slow = (frequencies < _SLOW).repeat(2).nonzero()[:, 0]
    rows = slow + _rows(attention, head).start
    attention.q_proj.weight[rows] = _LIKENESS * query[: len(rows)]
    attention.k_proj.weight[rows] = _LIKENESS * key[: len(rows)]


def _hand_on(attention: Any, head: int, read: Tensor, write: Tensor, share: float) -> None:
    """Let a head read one block where it attends, and write it to another at the word at hand."""
    rows = _rows(attention, head)
    attention.v_proj.weight[rows] = read
    attention.o_proj.weight[:, rows] = share * write.T
