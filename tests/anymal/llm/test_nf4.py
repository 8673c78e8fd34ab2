"""Our rounding to NF4 gives what bitsandbytes' own does, bit for bit."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from anymal.llm.load import load_llm
from anymal.llm.nf4 import _tables, round_to_nf4
from anymal.llm.precision import import_bitsandbytes

bnb = import_bitsandbytes()
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def theirs(weights: Tensor, blocksize: int = 64) -> tuple[Tensor, Tensor]:
    """The kernel that ours takes the place of."""
    operator = torch.ops.bitsandbytes.quantize_4bit.default
    key = torch._C.DispatchKey.CompositeExplicitAutograd
    return operator._op_dk(key, weights, blocksize, "nf4", torch.uint8)


def check_same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for ours, own in zip(found, expected, strict=True):
        assert ours.dtype == own.dtype
        assert ours.shape == own.shape
        torch.testing.assert_close(ours, own, rtol=0, atol=0, equal_nan=True)


def midpoints_and_neighbours() -> Tensor:
    """Blocks scaled by 1 that hold every midpoint, what is next to it, and both ends."""
    middle = _tables()[0]
    below, above = (middle.nextafter(torch.tensor(end)) for end in (-2.0, 2.0))
    values = torch.cat([middle, below, above, torch.tensor([1.0, -1.0])])
    return torch.nn.functional.pad(values, (0, 64 - len(values))).view(1, 64)


CASES: dict[str, Callable[[], Tensor]] = {
    "random": lambda: torch.randn(96, 200),
    "more than one turn": lambda: torch.randn(2048, 100),
    "small as in models": lambda: torch.randn(64, 128) * 0.02,
    "heavy tails": lambda: torch.randn(64, 128) ** 9,
    "all zero": lambda: torch.zeros(4, 64),
    "some blocks zero": lambda: torch.randn(8, 64) * (torch.arange(8) % 2)[:, None],
    "subnormal": lambda: torch.randn(8, 64) * 1e-40,
    "at the edge of subnormal": lambda: torch.randn(8, 64) * 1e-38,
    "huge": lambda: torch.randn(8, 64).clamp(-3, 3) * 1e38,
    "infinite": lambda: torch.randn(8, 64).masked_fill(torch.rand(8, 64) > 0.99, -torch.inf),
    "no numbers": lambda: torch.randn(8, 64).masked_fill(torch.rand(8, 64) > 0.99, torch.nan),
    "negative zeros": lambda: -torch.zeros(1, 64),
    "ties": midpoints_and_neighbours,
    "one sign": lambda: torch.rand(16, 64),
    "no whole block": lambda: torch.randn(7, 5),
    "a last block that is shorter": lambda: torch.randn(9, 100),
    "an odd number": lambda: torch.randn(3, 43),
    "one": lambda: torch.randn(1),
    "zeros in a last block": lambda: torch.cat([torch.randn(64), torch.zeros(5)]),
    "transposed": lambda: torch.randn(64, 96).T,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_codes_and_scales_are_those_of_bitsandbytes(case: str, dtype: torch.dtype) -> None:
    weights = CASES[case]().to(dtype)
    check_same(round_to_nf4(weights, 64), theirs(weights))


@pytest.mark.parametrize("blocksize", [32, 256, 4096])
def test_other_block_sizes(blocksize: int) -> None:
    weights = torch.randn(300, 33)
    check_same(round_to_nf4(weights, blocksize), theirs(weights, blocksize))


def test_every_number_that_a_weight_of_16_bits_can_be() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
        inside = every[every.abs() <= 1].view(-1, 1)
        # One number to a block that a 1 scales, so that each is looked up as it is.
        blocks = torch.nn.functional.pad(inside, (1, 30), value=1.0)
        check_same(round_to_nf4(blocks, 32), theirs(blocks, 32))


def test_other_kinds_are_rounded_by_bitsandbytes() -> None:
    weights = torch.randn(8, 64)
    operator = torch.ops.bitsandbytes.quantize_4bit.default
    key = torch._C.DispatchKey.CompositeExplicitAutograd
    for kind, storage in (("fp4", torch.uint8), ("nf4", torch.bfloat16)):
        found = operator(weights, 64, kind, storage)
        check_same(found, operator._op_dk(key, weights, 64, kind, storage))


def test_a_loaded_layer_holds_what_bitsandbytes_makes_of_the_checkpoint(
    checkpoints: SimpleNamespace,
) -> None:
    loaded = load_llm(str(checkpoints.llm), precision="nf4").model.model.layers[1].mlp.down_proj
    plain = load_llm(str(checkpoints.llm), precision="fp32").model.model.layers[1].mlp.down_proj
    codes, scales = theirs(plain.weight)
    assert type(loaded) is bnb.nn.Linear4bit
    assert torch.equal(loaded.weight, codes)
    state: Any = loaded.weight.quant_state
    offset = scales.mean()
    nested, second = bnb.functional.quantize_blockwise(scales - offset, blocksize=256)
    assert torch.equal(state.offset, offset)
    assert torch.equal(state.absmax, nested)
    assert torch.equal(state.state2.absmax, second.absmax)
    assert torch.equal(state.state2.code, second.code)


def test_threads_import_bitsandbytes_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [], []

    def take_place_slowly() -> None:
        inside.append(1)
        time.sleep(0.02)
        most.append(len(inside))
        inside.pop()

    monkeypatch.setattr("anymal.llm.precision.take_place", take_place_slowly)
    threads = [threading.Thread(target=import_bitsandbytes) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
