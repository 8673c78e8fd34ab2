"""An aligner reads what was seen at each tick by itself, and the times of all media agree."""

import math

import pytest
import torch
from torch import Tensor

from aligners.base import SoftTokens, soft_tokens_of
from aligners.clock import align, rows_of, time_embedding
from aligners.limits import AlignerError
from aligners.perceiver import Perceiver
from aligners.projection import Projection
from encoders.base import Features, Layout

D_ENC, D_LLM, RMS = 6, 8, 0.5
NUM_REAL = (5, 4, 3)
# The first and the last of three items are on a clock; not every item has a feature at each tick.
TICKS = (torch.tensor([0, 0, 2, 2, 2]), None, torch.tensor([1, 3, 1]))


def features(ticks: "tuple[Tensor | None, ...] | None") -> Features:
    torch.manual_seed(0)
    mask = torch.arange(6) < torch.tensor(NUM_REAL)[:, None]
    mask[0] = torch.tensor([True, False, True, True, True, True])  # real ones need not be first
    return Features(
        values=torch.randn(3, 6, D_ENC),
        mask=mask,
        steps=torch.arange(6).expand(3, -1),
        layouts=tuple(Layout(before=count) for count in NUM_REAL),
        ticks=ticks,
    )


def perceiver() -> Perceiver:
    torch.manual_seed(1)
    return Perceiver(
        encoder_dim=D_ENC,
        llm_dim=D_LLM,
        embedding_rms=RMS,
        num_tokens=3,
        depth=2,
        num_heads=2,
        head_dim=4,
        num_steps=6,
    )


def projection() -> Projection:
    torch.manual_seed(1)
    return Projection(encoder_dim=D_ENC, llm_dim=D_LLM, embedding_rms=RMS, num_tokens=None)


def one_by_one(aligner: "Perceiver | Projection", seen: Features) -> Tensor:
    """The soft tokens of each item and tick from a call of its own, and its time: `[N, D_llm]`."""
    rows = []
    for item, ticks in enumerate(TICKS):
        own = seen.mask[item].nonzero()[:, 0]
        for tick in [None] if ticks is None else sorted(set(ticks.tolist())):
            chosen = own if ticks is None else own[ticks == tick]
            made = soft_tokens_of(
                aligner(
                    Features(
                        values=seen.values[item, chosen][None],
                        mask=torch.ones(1, len(chosen), dtype=torch.bool),
                        steps=seen.steps[item, chosen][None],
                    )
                )
            ).flat()
            angles = [0 if tick is None else tick / 10_000 ** (2 * n / D_LLM) for n in range(4)]
            waves = [wave for a in angles for wave in (math.sin(a), math.cos(a))]
            time = torch.tensor(waves) * 2**0.5 * RMS
            rows.append(made if tick is None else made + time)
    return torch.cat(rows)


@pytest.mark.parametrize("make", [perceiver, projection])
def test_rows_are_read_by_themselves(make: "type[Perceiver] | type[Projection]") -> None:
    aligner, seen = make(), features(TICKS)
    made = align(aligner, seen, rms=lambda: RMS)
    torch.testing.assert_close(made.flat(), one_by_one(aligner, seen))


def test_without_a_clock_nothing_changes() -> None:
    seen, aligner = features(None), perceiver()

    def unwanted() -> float:
        raise AssertionError("asked for the size of words")

    made = align(aligner, seen, rms=unwanted)
    assert torch.equal(made.values, aligner(seen))


def test_gradients_reach_the_aligner() -> None:
    aligner = perceiver()
    align(aligner, features(TICKS), rms=lambda: RMS).values.sum().backward()
    assert all(parameter.grad is not None for parameter in aligner.parameters())


def test_an_aligner_that_counts_sees_the_layout_of_each_row() -> None:
    rows = rows_of(features(TICKS), TICKS)
    assert rows.ticks.tolist() == [0, 2, -1, 1, 3]
    assert rows.owners.tolist() == [0, 0, 1, 2, 2]
    assert rows.features.layouts is not None
    counts = [layout.count for layout in rows.features.layouts]
    assert counts == rows.features.mask.sum(dim=1).tolist() == [2, 3, 4, 2, 1]


def test_times_that_do_not_fit_are_refused() -> None:
    wrong = (torch.tensor([0, 1]), None, None)
    with pytest.raises(AlignerError, match="the times of 2 features and gave 5"):
        align(perceiver(), features(wrong), rms=lambda: RMS)


def test_time_embedding_is_as_large_as_words() -> None:
    found = time_embedding(torch.tensor([-1, 0, 1, 700]), 6)
    assert not found[0].any()
    torch.testing.assert_close(found[1], torch.tensor([0.0, 1, 0, 1, 0, 1]) * 2**0.5)
    torch.testing.assert_close(found.square().mean(dim=1)[1:], torch.ones(3))
    assert isinstance(align(perceiver(), features(None), rms=lambda: 1.0), SoftTokens)
