"""Linear layers in int8 whose inputs are quantised as they come: fast answers on a CPU.

Weights are int8 with one scale per output channel, inputs int8 with one scale per row, products
summed in int32 and scaled back to float32. Does not train: there is no backward. This is not
bitsandbytes' LLM.int8 (precision `int8`), which trains but is slow on a CPU.

One scale per row, not per tensor as in torch.ao's dynamic linear: a token's result must not depend
on which others share its batch. The sums are of integers, so that it does not, to the last bit.

NOTE: the kernel is FBGEMM's with packed weights. Beside `torch._int_mm` it is twice as fast for 8
rows of a 2048 x 2048 layer, and somewhat slower at 768 x 768 (benchmarks/precision/serving.py). It
takes one fixed scale for its whole input; rows divided by their own largest value before and
multiplied by it after make that a scale per row. It packs a tensor of a quantised dtype, which
PyTorch means to remove (pytorch issue 184982); where that or the kernel is gone,
`check_dynamic_int8` says so before anything is quantised.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from anymal.errors import RecipeError

INT8_DYNAMIC = "int8-dynamic"
_TINIEST = 1e-30  # instead of the largest value of a row of zeros


def check_dynamic_int8(device: torch.device) -> None:
    """Refuse where the kernel is missing.

    Raises:
        RecipeError: If this is no CPU, or not one that the kernel knows.
    """
    if device.type != "cpu":
        raise RecipeError(
            f"{INT8_DYNAMIC} is for a CPU and this is {device}; use nf4, int8 or bf16 there"
        )
    has_kernel = "fbgemm" in torch.backends.quantized.supported_engines
    if not has_kernel or not hasattr(torch, "_make_per_channel_quantized_tensor"):
        raise RecipeError(
            f"{INT8_DYNAMIC} needs FBGEMM's int8 kernels, which torch {torch.__version__} does not "
            "have on this machine; use fp32"
        )


class DynamicInt8Linear(nn.Module):
    """`x W^T + b` for inference.

    Args:
        weight: `[N, K]` float, quantised here.
        bias: `[N]`, kept in float32, or None.
    """

    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        # Without VNNI the kernel adds pairs of products in 16 bits: they must fit.
        self._largest = 127 if torch.cpu._is_vnni_supported() else 63
        self._packed = _pack(weight.detach().float())
        self.register_buffer("bias", None if bias is None else bias.detach().float().clone())
        self._kernel = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply it.

        Args:
            inputs: `[..., K]` float32, of two dimensions or more.

        Returns:
            `[..., N]` float32.

        Raises:
            RecipeError: If a gradient would have to pass.
        """
        if inputs.requires_grad and torch.is_grad_enabled():
            raise RecipeError(
                f"{INT8_DYNAMIC} is for answering: no gradient passes through it; "
                "train at nf4, int8, bf16 or fp32"
            )
        # amax of abs: vector_norm(inf) and aminmax are some 50 times slower along rows.
        largest = inputs.abs().amax(-1, keepdim=True).clamp_min_(_TINIEST)  # [..., 1]
        outputs: Tensor = self._kernel(
            inputs / largest, 1 / self._largest, self._largest + 1, self._packed
        )
        outputs.mul_(largest)
        return outputs if self.bias is None else outputs.add_(self.bias)

    def extra_repr(self) -> str:
        """See torch."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def _pack(weight: Tensor) -> Any:
    """Weights `[N, K]` as the kernel reads them: int8, symmetric, scaled by output channel."""
    scales = weight.abs().amax(1).div_(127).clamp_min_(_TINIEST)
    rounded = (weight / scales[:, None]).round_().to(torch.int8)
    zeros = torch.zeros(len(scales), dtype=torch.long)
    with warnings.catch_warnings():
        # See the NOTE above; nothing a user could do about it.
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        quantised = torch._make_per_channel_quantized_tensor(rounded, scales.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(quantised, None)
