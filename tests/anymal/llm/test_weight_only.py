"""Weight-only layers: what they round to, exact against plain arithmetic, and one row alone."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anymal.errors import RecipeError
from anymal.llm.weight_only import WEIGHT_ONLY, WeightOnlyLinear, check_weight_only, weight_layout
from anymal.llm.weight_only_words import WeightOnlyEmbedding, WeightOnlyHead

BF16_STEP = 2**-8  # of a number's size: half of it is the most that rounding adds
precisions = pytest.mark.parametrize("precision", WEIGHT_ONLY)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@precisions
@pytest.mark.parametrize(
    ("outputs", "inputs"), [(64, 96), (97, 33), (8, 3), (1, 1), (130, 64), (704, 1536)]
)
@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_result_is_that_of_the_weights_it_holds(
    precision: str, outputs: int, inputs: int, rows: int
) -> None:
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    layer = WeightOnlyLinear.rounded(weight, bias, precision)
    x = torch.randn(rows, inputs)
    products = F.linear(x.bfloat16().double(), layer.weight.double())
    found = layer(x).double() - bias
    size = F.linear(x.abs().double(), layer.weight.abs().double())  # bounds errors of the sum
    assert ((found - products).abs() <= BF16_STEP * products.abs() + 1e-5 * size).all()
    assert layer.weight.shape == weight.shape
    assert relative(layer.weight, weight) < (0.01 if precision == "int8" else 0.09)


@precisions
def test_weights_are_not_changed_by_rounding_them(precision: str) -> None:
    before = (weight := torch.randn(70, 64)).clone()
    WeightOnlyLinear.rounded(weight, None, precision)
    assert torch.equal(weight, before)


def test_four_bits_are_exact_for_sixteen_even_levels() -> None:
    codes = torch.randint(0, 16, (97, 3, 32))
    codes[..., :2] = torch.tensor([0, 15])
    weight = ((codes - 4) * 0.25).view(97, 96)
    assert torch.equal(WeightOnlyLinear.rounded(weight, None, "int4").weight, weight)


def test_eight_bits_are_exact_for_codes_times_a_scale_of_each_output() -> None:
    codes = torch.randint(-127, 128, (5, 70)).float()
    codes[:, 0] = 127
    weight = codes * torch.tensor([[1.0], [0.5], [2.0], [0.25], [4.0]])
    assert torch.equal(WeightOnlyLinear.rounded(weight, None, "int8").weight, weight)


@precisions
def test_zeros_and_constants_stay(precision: str) -> None:
    weight = torch.zeros(4, 64)
    weight[1], weight[2, :32] = 0.5, -0.25
    held = WeightOnlyLinear.rounded(weight, None, precision).weight
    torch.testing.assert_close(held, weight, rtol=BF16_STEP, atol=0)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [(WeightOnlyLinear, "int8"), (WeightOnlyLinear, "int4"), (WeightOnlyHead, "int8")],
)
def test_few_rows_are_the_same_to_the_bit_in_any_company(
    kind: type[WeightOnlyLinear], precision: str
) -> None:
    layer = kind.rounded(torch.randn(97, 130), torch.randn(97), precision)
    inputs = torch.randn(24, 130) * torch.logspace(-3, 3, 24)[:, None]
    together = layer(inputs)
    for num_rows in (1, 2, 3, 8, 17):
        for start in range(0, 24 - num_rows, 7):
            rows = slice(start, start + num_rows)
            assert torch.equal(layer(inputs[rows]), together[rows])


@precisions
def test_many_rows_differ_from_one_by_the_order_of_sums(precision: str) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(192, 256), None, precision)
    inputs = torch.randn(300, 256)
    many, alone = layer(inputs), torch.cat([layer(row[None]) for row in inputs])
    assert (many == alone).float().mean() > 0.99
    assert (many - alone).abs().max() <= BF16_STEP * alone.abs().max()


@precisions
def test_any_leading_shape(precision: str) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(5, 8), None, precision)
    inputs = torch.randn(2, 3, 8)
    flat = layer(inputs.flatten(0, 1))
    assert flat.dtype == torch.float32
    assert torch.equal(layer(inputs), flat.view(2, 3, 5))
    assert torch.equal(layer(inputs.transpose(0, 1)), flat.view(2, 3, 5).transpose(0, 1))
    assert torch.equal(layer(inputs[0, 0]), flat[0])
    assert layer(inputs[:0]).shape == (0, 3, 5)


@precisions
@pytest.mark.parametrize("rows", [3, 100])
def test_inputs_may_lie_in_memory_in_any_order(precision: str, rows: int) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(5, 64), None, precision)
    turned = torch.randn(64, rows).T
    assert torch.equal(layer(turned), layer(turned.contiguous()))


@precisions
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_inputs_may_begin_anywhere_in_memory(precision: str, rows: int) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(5, 64), None, precision)
    some = torch.randn(rows * 64 + 4).bfloat16()[4:].view(rows, 64)
    assert some.data_ptr() % 64
    assert torch.equal(layer(some), layer(some.clone()))


@precisions
def test_a_broken_row_harms_no_other(precision: str) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(5, 8), None, precision)
    inputs = torch.randn(3, 8)
    inputs[0], inputs[1, 3] = 0.0, float("nan")
    found = layer(inputs)
    assert not found[0].any()
    assert found[1].isnan().all()
    assert torch.equal(found[2], layer(inputs[2:])[0])


@precisions
def test_tensors_go_through_a_state_dict_bit_for_bit(precision: str) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(97, 33), torch.randn(97), precision)
    with torch.device("meta"):
        other = WeightOnlyLinear(33, 97, bias=True, precision=precision)
    other.load_state_dict(layer.state_dict(), assign=True)
    assert other.codes.data_ptr() == layer.codes.data_ptr()
    inputs = torch.randn(4, 33)
    assert torch.equal(other(inputs), layer(inputs))


@precisions
def test_rounding_nothing_gives_the_same_shapes(precision: str) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(97, 33), torch.randn(97), precision)
    empty = WeightOnlyLinear.rounded(
        torch.empty(97, 33, device="meta"), torch.empty(97, device="meta"), precision
    )
    shapes = [
        {name: (tensor.shape, tensor.dtype) for name, tensor in each.state_dict().items()}
        for each in (layer, empty)
    ]
    assert shapes[0] == shapes[1]
    assert all(tensor.is_meta for tensor in empty.state_dict().values())


def test_a_table_gives_the_rows_of_the_head_it_is_tied_to() -> None:
    head = WeightOnlyLinear.rounded(torch.randn(50, 33), None, "int8")
    table = WeightOnlyEmbedding(head, factor=torch.tensor(2.0))
    ids = torch.tensor([[3, 49], [0, 3]])
    assert torch.equal(table(ids), 2 * head.weight[ids])
    assert table.codes.data_ptr() == head.codes.data_ptr()


@pytest.mark.parametrize("shape", [(), (3,), (2, 20)])
def test_the_highest_outputs_of_a_head_are_exact(shape: tuple[int, ...]) -> None:
    head = WeightOnlyHead.rounded(torch.randn(200, 33), torch.randn(200), "int8")
    inputs = 10 * torch.randn(*shape, 33)
    found, expected = head(inputs), F.linear(inputs, head.weight, head.bias)
    highest = expected.topk(8).indices
    torch.testing.assert_close(found.gather(-1, highest), expected.gather(-1, highest))
    assert torch.equal(found.argmax(-1), expected.argmax(-1))
    torch.testing.assert_close(found, expected, rtol=BF16_STEP, atol=0.5)


@precisions
def test_training_is_refused(precision: str) -> None:
    layer = WeightOnlyLinear.rounded(torch.randn(5, 8), None, precision)
    inputs = torch.randn(2, 8, requires_grad=True)
    with pytest.raises(RecipeError, match="no gradient passes through them; load the model unm"):
        layer(inputs)
    with torch.no_grad():
        layer(inputs)


def test_machines_without_a_kernel_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_weight_only("int4", torch.device("cpu"))
    with pytest.raises(RecipeError, match="are for a CPU and this is cuda; use nf4"):
        check_weight_only("int8", torch.device("cuda"))
    monkeypatch.delattr(torch, "_weight_int4pack_mm_for_cpu")
    check_weight_only("int8", torch.device("cpu"))
    with pytest.raises(RecipeError, match="need torch"):
        check_weight_only("int4", torch.device("cpu"))
    with pytest.raises(RecipeError, match="need torch"):
        weight_layout("int4")


def test_layouts_have_names() -> None:
    assert weight_layout("int8") != weight_layout("int4")


def test_it_has_no_parameters_to_train() -> None:
    layer: nn.Module = WeightOnlyLinear.rounded(torch.randn(5, 8), torch.randn(5), "int8")
    assert list(layer.parameters()) == []
