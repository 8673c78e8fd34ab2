import math

import pytest
import torch

from train.pretrain.slots import SlotHeads, slot_hits, slot_loss


def test_loss_is_the_sum_over_known_slots_per_window() -> None:
    uniform = torch.zeros(2, 4)
    sure = torch.tensor([[100.0, 0.0], [100.0, 0.0]])
    targets = torch.tensor([[1, 0], [-100, 0]])
    # One known slot of four equal classes in two windows; the sure slot costs nothing.
    loss = slot_loss([uniform, sure], targets, smoothing=0.0)
    assert loss.item() == pytest.approx(math.log(4) / 2, abs=1e-6)


def test_hits_count_known_slots_only() -> None:
    logits = [torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])]
    hits, known = slot_hits(logits, torch.tensor([[1, -100], [1, 0]]))
    assert hits.tolist() == [1, 1]
    assert known.tolist() == [2, 1]


def test_heads_do_not_know_where_a_feature_is_or_what_is_masked() -> None:
    torch.manual_seed(0)
    heads = SlotHeads(8, {"digit": 10, "kind": 3})
    features = torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 3 + [False] * 2])
    expected = heads(features, mask)
    shuffled = features[:, [2, 0, 1, 3, 4]].clone()
    shuffled[:, 3:] = 77.0
    for one, other in zip(expected, heads(shuffled, mask), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_targets_leave_unknown_slots_out() -> None:
    heads = SlotHeads(4, {"digit": 10, "kind": 3})
    assert heads.targets([{"kind": 2}, {"digit": 7}]).tolist() == [[-100, 2], [7, -100]]
