"""Digests of a language model's weights, and the size of its words.

Do not cover all weights: some rows of the table stand for the checkpoint.

Shapes: V words, D_llm embedding width.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anymal.llm.weight_only_words import WeightOnlyEmbedding

_DIGEST_ROWS = 256
_ROWS_AT_ONCE = 4096


def digest_of_table(table: Any, size: int) -> str:
    """SHA-256 of the first rows of an embedding table, in bfloat16 at every precision.

    Args:
        table: Of words.
        size: V.
    """
    if isinstance(table, WeightOnlyEmbedding):
        rows = table(torch.arange(min(_DIGEST_ROWS, size)))
    else:
        rows = table.weight.detach()[:_DIGEST_ROWS]
    rows = rows.to("cpu", torch.bfloat16)
    return hashlib.sha256(rows.contiguous().view(torch.int16).numpy().tobytes()).hexdigest()


def digest_of_weights(model: Any, *, facts: str, adapters: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of what keys and values depend on: some facts, adapters, and norms and biases.

    Args:
        model: A transformers causal model.
        facts: In words, such as the digest of its table.
        adapters: Those in use, by name.
    """
    digest = hashlib.sha256(facts.encode())
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 and ".lora_" not in name and parameter.is_floating_point():
            digest.update(bytes_of(parameter))
    for name, tensor in adapters:
        digest.update(name.encode() + bytes_of(tensor))
    return digest.hexdigest()


def rms_of_words(table: Any, size: int, device: torch.device) -> float:
    """Root mean square of all words as a table gives them: Gemma scales those of its table.

    Args:
        table: Of words.
        size: V.
        device: Where it is.
    """
    words = torch.arange(size, device=device)
    # A few at a time of a table in 8 bits: all of them in float32 can be more than the model.
    step = _ROWS_AT_ONCE if isinstance(table, WeightOnlyEmbedding) else size
    with torch.no_grad():
        sizes = [
            table(some).float().square().mean() * (len(some) / size)
            for some in torch.split(words, step)
        ]
    return float(torch.stack(sizes).sum().sqrt())


def bytes_of(tensor: Tensor) -> bytes:
    """The raw bytes of a tensor, whatever its dtype."""
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return plain.numpy().tobytes()
