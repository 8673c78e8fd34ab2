"""Layers for answering on a CPU, whose weights are held in 8 or 4 bits: `int8` and `int4`.

At `int8` each output has one scale; at `int4` each group of 32 inputs has a scale and an offset.
Inputs are rounded to bfloat16, sums are float32, outputs are rounded to bfloat16 and given as
float32. Does not train: there is no backward. Does not choose which layers are held so
(`merge_lora.py`) or how weights are rounded (`weight_rounding.py`).

Few rows go through PyTorch's own kernels for packed weights, which read fewer bytes. Many rows, as
of a prompt, are multiplied by weights unpacked piece by piece, in bfloat16 where the processor
multiplies in it and in float32 elsewhere. Both ways round at the same places, so that a row differs
between them by the order of a sum, and at times by the last bit of bfloat16.

All tensors are plain buffers: a layer built on the meta device takes those of another by
`load_state_dict(..., assign=True)`. Those of `int4` are laid out for one kind of processor
(`weight_layout`).

Shapes: N outputs, K inputs, M rows, V words, D width.
"""

from collections.abc import Iterator
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anymal.errors import RecipeError
from anymal.llm.alignment import aligned
from anymal.llm.int4_layout import TILE, layout_name, packed_codes, unpacked_codes
from anymal.llm.weight_rounding import GROUP, MIDDLE, rounded_to_4_bits, rounded_to_8_bits

WeightOnly = Literal["int8", "int4"]
WEIGHT_ONLY: tuple[str, ...] = get_args(WeightOnly)

# The most rows for which reading packed weights beats unpacking them.
_FEW_ROWS = {"int8": 32, "int4": 48}
_AT_ONCE = 2**19  # weights unpacked at a time, so that they stay in the processor's cache
_KERNELS = {
    "int8": ("_weight_int8pack_mm",),
    "int4": ("_convert_weight_to_int4pack_for_cpu", "_weight_int4pack_mm_for_cpu"),
}


def check_weight_only(precision: str, device: torch.device) -> None:
    """Refuse where the kernels are missing.

    Args:
        precision: One of `WEIGHT_ONLY`.
        device: Where the layers are to be.

    Raises:
        RecipeError: This is no CPU, or PyTorch lacks a kernel.
    """
    if device.type not in ("cpu", "meta"):
        raise RecipeError(
            f"weights in {precision} with LoRA merged are for a CPU and this is {device}; "
            "use nf4, bf16 or fp32 there"
        )
    if missing := [name for name in _KERNELS[precision] if not hasattr(torch, name)]:
        raise RecipeError(
            f"weights in {precision} need torch.{missing[0]}, which torch {torch.__version__} does "
            "not have; use fp32, or the version of PyTorch in requirements.lock"
        )


def weight_layout(precision: str) -> str:
    """Names how a layer's buffers are laid out; kept weights fit where it is the same.

    Args:
        precision: One of `WEIGHT_ONLY`.

    Raises:
        RecipeError: PyTorch lacks a kernel, or lays weights out in an unknown way.
    """
    check_weight_only(precision, torch.device("cpu"))
    if precision == "int8":
        return "int8: rows"
    return layout_name()


class WeightOnlyLinear(nn.Module):
    """`x W^T + b` for inference.

    Its buffers are empty; see `rounded`. The weights are padded with zeros to what the kernels
    take: K to a multiple of `GROUP`, and N at `int4` to one of 64.

    Args:
        in_features: K.
        out_features: N.
        bias: Whether one is added.
        precision: One of `WEIGHT_ONLY`.
    """

    codes: Tensor
    scales: Tensor
    bias: Tensor | None
    input_dtype = torch.bfloat16  # what inputs are rounded to; those that are it already stay

    def __init__(self, in_features: int, out_features: int, *, bias: bool, precision: str) -> None:
        super().__init__()
        self.in_features, self.out_features, self.precision = in_features, out_features, precision
        width = padded(in_features, GROUP)
        if precision == "int8":
            self.register_buffer("codes", torch.empty(out_features, width, dtype=torch.int8))
            self.register_buffer("scales", torch.empty(out_features, dtype=torch.bfloat16))
        else:
            rows, groups = padded(out_features, TILE), width // GROUP
            self.register_buffer("codes", torch.empty(rows, width // 2, dtype=torch.uint8))
            self.register_buffer("scales", torch.empty(groups, rows, 2, dtype=torch.bfloat16))
        self.register_buffer("bias", torch.empty(out_features) if bias else None)
        self._width = width

    @classmethod
    def rounded(cls, weight: Tensor, bias: Tensor | None, precision: str) -> Self:
        """Round a layer.

        Args:
            weight: `[N, K]` float; on the meta device the result is empty too.
            bias: `[N]`, kept in float32, or None.
            precision: One of `WEIGHT_ONLY`.

        Returns:
            The layer.
        """
        outputs, inputs = weight.shape
        with torch.device("meta"):
            layer = cls(inputs, outputs, bias=bias is not None, precision=precision)
        if weight.is_meta:
            return layer
        if layer._width > inputs:
            weight = F.pad(weight.detach(), (0, layer._width - inputs))
        if precision == "int8":
            layer.codes, layer.scales = rounded_to_8_bits(weight.detach())
        else:
            layer.codes, layer.scales = _packed(weight.detach())
        layer.bias = None if bias is None else bias.detach().float().clone()
        return layer

    @property
    def weight(self) -> Tensor:
        """`[N, K]` float32: a copy of what it computes with."""
        columns = [part for _, part in self._unpacked()]
        return torch.cat(columns, 1)[: self.in_features, : self.out_features].T.contiguous()

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply it.

        Args:
            inputs: `[..., K]` float.

        Returns:
            `[..., N]` float32.

        Raises:
            RecipeError: A gradient would have to pass.
        """
        refuse_gradient(inputs, self.precision)
        # Of one row, reshaping and rounding take as long as the product; so no more than needed.
        is_batch = inputs.dim() != 2
        rows = (inputs.reshape(-1, self.in_features) if is_batch else inputs).bfloat16()
        rows = aligned(rows.contiguous())  # the kernels refuse others, or crash
        if self._width > self.in_features:
            rows = F.pad(rows, (0, self._width - self.in_features))
        is_few = len(rows) <= _FEW_ROWS[self.precision]
        outputs = (self._few(rows) if is_few else self._many(rows)).float()
        if self.bias is not None:
            outputs += self.bias
        return outputs.view(*inputs.shape[:-1], self.out_features) if is_batch else outputs

    def _few(self, rows: Tensor) -> Tensor:
        """`[M, K]` to `[M, N]`, both bfloat16, by the kernel for packed weights."""
        if not len(rows):
            return rows.new_empty(0, self.out_features)
        if self.precision == "int8":
            return torch._weight_int8pack_mm(rows, self.codes, self.scales)
        outputs = torch._weight_int4pack_mm_for_cpu(rows, self.codes, GROUP, self.scales)
        is_padded = len(self.codes) > self.out_features
        return outputs[:, : self.out_features] if is_padded else outputs

    def _many(self, rows: Tensor) -> Tensor:
        """`[M, K]` to `[M, N]`, both bfloat16, by weights unpacked piece by piece.

        In float32 even where a processor multiplies bfloat16 faster (with AMX, 512 rows take 2.5
        times as long): bfloat16 would round the weights again, so that a long prompt and the words
        after it would be computed with different weights.
        """
        rows = rows.float()
        outputs = rows.new_empty(len(rows), padded(self.out_features, TILE))
        for columns, part in self._unpacked():
            torch.mm(rows, part, out=outputs[:, columns])
        return outputs[:, : self.out_features].bfloat16()

    def _unpacked(self) -> Iterator[tuple[slice, Tensor]]:
        """The transposed weights, `[K, n]` at a time, with the outputs that they give."""
        step = max(TILE, _AT_ONCE // self._width // TILE * TILE)
        for start in range(0, len(self.codes), step):
            part = slice(start, min(start + step, len(self.codes)))
            if self.precision == "int8":
                scales = self.scales[part].float()[:, None]
                yield part, (self.codes[part].float() * scales).T
            else:
                codes = unpacked_codes(self.codes[part])  # [K, n]
                scales, offsets = self.scales[:, part].float().unbind(-1)  # [G, n] each
                grouped = codes.float().view(-1, GROUP, codes.shape[1])
                values = torch.addcmul(
                    (offsets - MIDDLE * scales)[:, None], grouped, scales[:, None]
                )
                yield part, values.view(codes.shape)

    def extra_repr(self) -> str:
        """See torch."""
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.precision}"


def padded(number: int, step: int) -> int:
    """The least multiple of `step` that is not below a number.

    Args:
        number: Such as a width.
        step: Such as a group.
    """
    return -(-number // step) * step


def refuse_gradient(inputs: Tensor, precision: str) -> None:
    """Refuse to take part in training.

    Args:
        inputs: Of a layer.
        precision: How its weights are held.

    Raises:
        RecipeError: A gradient would have to pass.
    """
    if inputs.requires_grad and torch.is_grad_enabled():
        raise RecipeError(
            f"weights in {precision} with LoRA merged are for answering: no gradient passes "
            "through them; load the model unmerged to train, at nf4, int8, bf16 or fp32"
        )


def _packed(weight: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, K]` as the 4-bit kernel takes it: codes, then scales with offsets; N is padded here."""
    codes, scales, offsets = rounded_to_4_bits(weight)
    pad = padded(len(weight), TILE) - len(weight)
    both = torch.stack([scales, offsets], -1).transpose(0, 1)  # [G, N, 2]
    return packed_codes(F.pad(codes, (0, 0, 0, pad))), F.pad(both, (0, 0, 0, pad)).contiguous()
