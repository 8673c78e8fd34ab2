"""Wide layers laid out for the CPU's kernels compute what they did."""

import pytest
import torch
from torch import Tensor, nn

from anymal.llm.packed_linear import PrepackedLinear, prepack

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)
WIDE, NARROW = 1024, 64


class Model(nn.Module):
    """A wide layer, a narrow one, and a wide head whose weight is the embedding's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WIDE, WIDE)
        self.wide = nn.Linear(WIDE, WIDE)
        self.narrow = nn.Linear(WIDE, NARROW)
        self.head = nn.Linear(WIDE, WIDE, bias=False)
        self.head.weight = self.embedding.weight
        self.requires_grad_(False)

    def forward(self, ids: Tensor) -> Tensor:
        inner = self.wide(self.embedding(ids))
        return torch.cat([self.narrow(inner), self.head(inner)], dim=-1)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.mark.parametrize("shape", [(1,), (8,), (2, 40)])
def test_prepacked_is_the_same_function(model: Model, shape: tuple[int, ...]) -> None:
    ids = torch.randint(WIDE, shape)
    expected = model(ids)
    prepack(model)
    torch.testing.assert_close(model(ids), expected, rtol=1e-4, atol=1e-4)


def test_only_wide_layers_with_a_weight_of_their_own_are_exchanged(model: Model) -> None:
    prepack(model)
    kinds = [type(layer) for layer in (model.wide, model.narrow, model.head)]
    assert kinds == [PrepackedLinear, nn.Linear, nn.Linear]
    assert model.head.weight is model.embedding.weight


def test_other_precisions_stay(model: Model) -> None:
    prepack(model.to(torch.bfloat16))
    assert type(model.wide) is nn.Linear


def test_weights_are_still_told(model: Model) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prepack(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
