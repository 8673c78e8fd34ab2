"""A frozen 4-bit language model, cut over ranks: each holds its share of every decoder layer.

FSDP2 (`fully_shard`) brings a layer together just before it runs. Only frozen 4-bit matrices are
cut: what trains stays whole on every rank, because the loop asks `torch.autograd.grad` for
gradients, which FSDP would lose without an error. Does not decide when to shard.
"""

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from anymal.llm.beside import decoder_layers
from anymal.llm.causal_lm import LLM
from train.ranks.group import Ranks


def shard(llm: LLM, ranks: Ranks) -> None:
    """Keep this rank's share of the frozen 4-bit matrices; give up the rest.

    Args:
        llm: At NF4; every rank calls this with equal weights.
        ranks: All that hold a share.
    """
    mesh = init_device_mesh(llm.device.type, (ranks.size,))
    decoder = llm.model.base_model
    for layer in decoder_layers(llm):
        fully_shard(layer, mesh=mesh, ignored_params=_whole(layer))
    # Brings the next layer while one runs.
    fully_shard(decoder, mesh=mesh, ignored_params=_whole(decoder))


def _whole(module: nn.Module) -> set[nn.Parameter]:
    """The parameters that every rank keeps: all but 4-bit matrices, which are bytes."""
    return {each for each in module.parameters() if each.dtype != torch.uint8}
