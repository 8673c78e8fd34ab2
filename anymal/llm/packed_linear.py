"""Wide float32 layers with their weights laid out for the CPU's matrix kernels: faster answers.

The same function in the same precision. A plain product lays the weights out again at every call,
which costs most where a step has few rows: with 8 rows, as when 8 answers grow together, 1.3 to 1.5
times the time on one AVX-512 core. Does not train: there is no backward.

Shapes: N outputs, K inputs.
"""

from typing import Any

import torch
from torch import Tensor, nn

# Numbers in the smallest weight that gains; of smaller ones the call itself costs more.
_SMALLEST = 2**17


def prepack(model: nn.Module) -> None:
    """Exchange the wide layers of a float32 model on a CPU; others, and other machines', stay.

    Args:
        model: Changed in place. A weight that several layers share, such as a tied head's, stays.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    # By name: a list of the layers would keep every old one in memory beside the new ones.
    names = [name for name, module in model.named_modules() if _gains(module, owners)]
    for name in names:
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, PrepackedLinear(model.get_submodule(name)))


class PrepackedLinear(nn.Module):
    """`x W^T + b` for inference.

    Args:
        layer: A float32 `nn.Linear` on the CPU.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear), type(layer)
        self.out_features, self.in_features = layer.out_features, layer.in_features
        self.bias = layer.bias
        ops: Any = torch.ops.mkldnn
        self._packed: Tensor = ops._reorder_linear_weight.default(layer.weight.detach(), None)
        self._kernel = ops._linear_pointwise.default

    @property
    def weight(self) -> Tensor:
        """`[N, K]`: a copy, laid out plainly."""
        return self._packed.to_dense()

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply it.

        Args:
            inputs: `[..., K]` float32.

        Returns:
            `[..., N]` float32.
        """
        outputs: Tensor = self._kernel(inputs, self._packed, self.bias, "none", [], "")
        return outputs

    def extra_repr(self) -> str:
        """See torch."""
        return f"in_features={self.in_features}, out_features={self.out_features}"

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """See torch: as if the layer were a plain one, so that models can be compared."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight


def _gains(module: nn.Module, owners: dict[int, int]) -> bool:
    """Whether a layer is one that is exchanged."""
    if type(module) is not nn.Linear:
        return False
    weight = module.weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= _SMALLEST
        and owners[id(weight)] == 1
    )
