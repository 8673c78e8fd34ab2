import pytest
import torch
from torch import nn

from train.pretrain.muon import Muon, orthogonalised

SHAPES = ((24, 24), (24, 64), (64, 24), (24, 24))


def matrices(seed: int) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def give_gradients(parameters: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_steps_are_those_of_torch_within_its_bfloat16() -> None:
    ours, theirs, start = matrices(0), matrices(0), matrices(0)
    optimisers = (
        Muon(ours, lr=0.02, weight_decay=0.05),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.05),
    )
    for step in range(5):
        for parameters, optimiser in zip((ours, theirs), optimisers, strict=True):
            give_gradients(parameters, step)
            optimiser.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        moved = (other - before).norm()
        assert (one - other).norm() < 0.02 * moved


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    given = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    made = orthogonalised(given)
    assert made.shape == given.shape
    u, _, vh = torch.linalg.svd(given, full_matrices=False)
    seen = u.mT @ made @ vh.mT
    values = seen.diagonal(dim1=-2, dim2=-1)
    assert values.min() > 0.5
    assert values.max() < 1.3
    torch.testing.assert_close(seen, torch.diag_embed(values), atol=1e-4, rtol=0)


def test_without_a_gradient_nothing_moves() -> None:
    parameters = matrices(0)
    Muon(parameters, lr=0.1).step()
    for parameter, before in zip(parameters, matrices(0), strict=True):
        assert torch.equal(parameter, before)


def test_refuses_what_is_no_matrix() -> None:
    with pytest.raises(ValueError, match=r"matrices; got the shape \(3,\)"):
        Muon([nn.Parameter(torch.zeros(3))], lr=0.1)
