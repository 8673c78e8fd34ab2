"""Int8 linear layers: exact against plain arithmetic, and one row never touches another."""

import pytest
import torch
from torch import Tensor

from anymal.errors import RecipeError
from anymal.llm.dynamic_int8 import DynamicInt8Linear, check_dynamic_int8


def written_out(inputs: Tensor, weight: Tensor, largest: int) -> Tensor:
    """The layer in plain arithmetic: round both sides, add integers, scale back."""
    by_channel = weight.abs().amax(1) / 127
    by_row = inputs.abs().amax(-1, keepdim=True)
    integers = torch.round(inputs / by_row * largest) @ torch.round(weight / by_channel[:, None]).T
    return integers * by_channel * by_row / largest


@pytest.mark.parametrize(("out", "width"), [(64, 96), (97, 33), (8, 3)])
def test_result_is_that_of_rounded_integers(out: int, width: int) -> None:
    layer = DynamicInt8Linear(weight := torch.randn(out, width), None)
    inputs = torch.randn(5, width) * torch.tensor([1e-3, 1.0, 30.0, 1e4, 1.0])[:, None]
    expected = written_out(inputs.double(), weight.double(), 127)
    if not torch.cpu._is_vnni_supported():
        expected = written_out(inputs.double(), weight.double(), 63)
    # One input in a thousand lies so near the middle that float and double round it apart.
    found = layer(inputs).double()
    size = expected.norm(dim=-1, keepdim=True)
    assert float(((found - expected) / size).abs().max()) < 5e-3
    assert float(((found - expected) / size).abs().median()) < 1e-6


def test_result_is_near_that_of_float() -> None:
    weight, bias, inputs = torch.randn(64, 256), torch.randn(64), torch.randn(9, 256)
    exact = torch.nn.functional.linear(inputs, weight, bias)
    error = (DynamicInt8Linear(weight, bias)(inputs) - exact).norm() / exact.norm()
    assert 1e-4 < float(error) < 0.02


@pytest.mark.parametrize("num_rows", [1, 2, 3, 8, 17])
def test_a_row_is_the_same_to_the_bit_in_any_company(num_rows: int) -> None:
    layer = DynamicInt8Linear(torch.randn(97, 130), torch.randn(97))
    inputs = torch.randn(40, 130) * torch.logspace(-3, 3, 40)[:, None]
    together = layer(inputs)
    for start in range(0, 40 - num_rows, 7):
        rows = slice(start, start + num_rows)
        assert torch.equal(layer(inputs[rows]), together[rows])


def test_any_leading_shape() -> None:
    layer = DynamicInt8Linear(torch.randn(5, 8), None)
    inputs = torch.randn(2, 3, 8)
    flat = layer(inputs.flatten(0, 1))
    assert torch.equal(layer(inputs), flat.view(2, 3, 5))
    assert torch.equal(layer(inputs.transpose(0, 1)), flat.view(2, 3, 5).transpose(0, 1))
    assert layer(inputs[:0]).shape == (0, 3, 5)


def test_zeros_stay_zeros_and_a_broken_row_harms_no_other() -> None:
    layer = DynamicInt8Linear(torch.randn(5, 8), None)
    inputs = torch.randn(4, 8)
    inputs[0], inputs[1, 3], inputs[2, 5] = 0.0, float("nan"), float("inf")
    found = layer(inputs)
    assert not found[0].any()
    assert not found[1:3].isfinite().any()
    assert torch.equal(found[3], layer(inputs[3:])[0])


def test_a_channel_of_zeros_stays_zero() -> None:
    weight = torch.randn(5, 8)
    weight[2] = 0.0
    found = DynamicInt8Linear(weight, None)(torch.randn(3, 8))
    assert not found[:, 2].any()
    assert found.any(0).sum() == 4


def test_training_is_refused() -> None:
    layer = DynamicInt8Linear(torch.randn(5, 8), None)
    inputs = torch.randn(2, 8, requires_grad=True)
    with pytest.raises(RecipeError, match="no gradient passes through it; train at nf4"):
        layer(inputs)
    with torch.no_grad():
        layer(inputs)


def test_machines_without_the_kernel_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_dynamic_int8(torch.device("cpu"))
    with pytest.raises(RecipeError, match="is for a CPU and this is cuda"):
        check_dynamic_int8(torch.device("cuda"))
    monkeypatch.delattr(torch, "_make_per_channel_quantized_tensor")
    with pytest.raises(RecipeError, match="needs FBGEMM"):
        check_dynamic_int8(torch.device("cpu"))
