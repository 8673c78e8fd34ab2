from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anymal.llm.cross_entropy import CHUNK_BYTES, chunk_rows, cross_entropy

WIDTH, VOCABULARY = 12, 40


def capped(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    """A head with a scale and a soft cap, as some models have."""
    return lambda hidden: torch.tanh(layer(hidden) * 0.7 / 5) * 5


def graded(
    rows: int | None, *, trains: bool, number: int = 23
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Losses and both gradients, in chunks or, without `rows`, by the formula itself."""
    torch.manual_seed(1)
    layer = nn.Linear(WIDTH, VOCABULARY, bias=False).requires_grad_(trains)
    hidden = torch.randn(number, WIDTH, requires_grad=True)
    targets = torch.randint(VOCABULARY, (number,))
    if rows is None:
        logits = capped(layer)(hidden)
        losses = torch.logsumexp(logits, 1) - logits.gather(1, targets[:, None])[:, 0]
    else:
        losses = cross_entropy(hidden, targets, head=capped(layer), rows=rows)
    (losses * torch.linspace(0.5, 2, number)).sum().backward()
    assert hidden.grad is not None
    return losses.detach(), hidden.grad, layer.weight.grad


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 23, 100])
def test_chunks_equal_the_formula(rows: int, trains: bool) -> None:
    for own, wanted in zip(graded(rows, trains=trains), graded(None, trains=trains), strict=True):
        if wanted is None:
            assert own is None
        else:
            torch.testing.assert_close(own, wanted, rtol=1e-5, atol=1e-6)


def test_no_more_than_a_chunk_of_logits_exists_at_once() -> None:
    layer = nn.Linear(WIDTH, VOCABULARY).requires_grad_(False)
    hidden = torch.randn(50, WIDTH, requires_grad=True)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = cross_entropy(hidden, torch.zeros(50, dtype=torch.int64), head=layer, rows=10)
    assert losses.shape == (50,)
    assert max(kept, default=0) < 10 * VOCABULARY


def test_few_rows_call_the_head_once_and_many_once_more_per_chunk() -> None:
    calls: list[int] = []
    layer = nn.Linear(WIDTH, VOCABULARY).requires_grad_(False)

    def head(hidden: Tensor) -> Tensor:
        calls.append(len(hidden))
        return layer(hidden)

    for number, wanted in ((8, [8]), (20, [8, 8, 4, 4, 8, 8])):
        calls.clear()
        hidden = torch.randn(number, WIDTH, requires_grad=True)
        cross_entropy(
            hidden, torch.zeros(number, dtype=torch.int64), head=head, rows=8
        ).sum().backward()
        assert sorted(calls) == sorted(wanted)


def test_without_gradient_nothing_is_computed_twice() -> None:
    hidden, targets = torch.randn(9, WIDTH), torch.arange(9)
    layer = nn.Linear(WIDTH, VOCABULARY)
    with torch.no_grad():
        losses = cross_entropy(hidden, targets, head=layer, rows=2)
        wanted = F.cross_entropy(layer(hidden), targets, reduction="none")
    torch.testing.assert_close(losses, wanted)


def test_a_chunk_has_a_size_in_bytes() -> None:
    assert chunk_rows(32_000) * 32_000 * 4 <= CHUNK_BYTES < (chunk_rows(32_000) + 1) * 32_000 * 4
    assert chunk_rows(10**10) == 1
