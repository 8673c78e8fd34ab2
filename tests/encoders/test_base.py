import pytest
import torch

from encoders.base import EncoderError, EncoderInputs, stack_inputs
from encoders.frozen import WindowStates, join_windows


def test_stack_concatenates_windows() -> None:
    items = [
        {"a": torch.ones(2, 3), "b": torch.ones(2)},
        {"a": torch.zeros(1, 3), "b": torch.ones(1)},
    ]
    inputs = stack_inputs(items)
    assert inputs.counts.tolist() == [2, 1]
    assert inputs.tensors["a"].sum(dim=1).tolist() == [3, 3, 0]
    assert inputs.tensors["b"].shape == (3,)


def test_stack_refuses_nothing() -> None:
    with pytest.raises(EncoderError, match="at least one"):
        stack_inputs([])


def test_stack_refuses_items_of_different_encoders() -> None:
    with pytest.raises(EncoderError, match=r"\['a'\] and \['b'\]"):
        stack_inputs([{"a": torch.ones(1)}, {"b": torch.ones(1)}])


def test_inputs_move_together() -> None:
    inputs = EncoderInputs(tensors={"a": torch.ones(2)}, counts=torch.tensor([2])).to("meta")
    assert inputs.tensors["a"].is_meta
    assert inputs.counts.is_meta


def test_join_pads_items_with_fewer_windows() -> None:
    values = torch.arange(1.0, 7.0).reshape(3, 2, 1)
    features = join_windows(WindowStates(values=values), torch.tensor([1, 2]))
    assert features.values[..., 0].tolist() == [[1, 2, 0, 0], [3, 4, 5, 6]]
    assert features.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert features.steps.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]


def test_join_clears_masked_values() -> None:
    states = WindowStates(
        values=torch.full((1, 2, 1), float("nan")).index_fill(1, torch.tensor([0]), 3.0),
        mask=torch.tensor([[True, False]]),
        steps=torch.tensor([[4, 6]]),
    )
    features = join_windows(states, torch.tensor([1]))
    assert features.values.flatten().tolist() == [3, 0]
    assert features.steps.tolist() == [[4, 6]]
