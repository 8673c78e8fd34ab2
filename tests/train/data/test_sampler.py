from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.sampler import BLOCK_DRAWS, Sampler


def make(seed: int = 1, stage: int = 0, sizes=(7, 5), weights=(3.0, 1.0)) -> Sampler:
    return Sampler(seed=seed, stage=stage, sizes=sizes, weights=weights)


@settings(max_examples=25, deadline=None)
@given(
    positions=st.lists(st.integers(0, 3 * BLOCK_DRAWS), min_size=1, max_size=20),
    seed=st.integers(0, 2**31),
)
def test_draw_depends_on_the_position_only(positions: list[int], seed: int) -> None:
    used = make(seed)
    for position in positions:
        assert used.draw(position) == make(seed).draw(position)


def test_every_epoch_of_a_source_visits_each_record_once() -> None:
    draws = [make(sizes=(6, 9), weights=(2.0, 1.0)).draw(i) for i in range(BLOCK_DRAWS + 50)]
    for source, size in ((0, 6), (1, 9)):
        records = [draw.record for draw in draws if draw.source == source]
        epochs = [records[i : i + size] for i in range(0, len(records) - size, size)]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1, "epochs should differ in order"


@pytest.mark.parametrize("block", [0, 1])
def test_a_block_holds_every_source_by_its_weight(block: int) -> None:
    sampler = make(sizes=(100, 10, 1000), weights=(1.0, 2.0, 5.0))
    first = block * BLOCK_DRAWS
    counts = Counter(sampler.draw(first + i).source for i in range(BLOCK_DRAWS))
    for source, share in enumerate((1 / 8, 2 / 8, 5 / 8)):
        assert abs(counts[source] - share * BLOCK_DRAWS) <= 1


@pytest.mark.parametrize("other", [{"seed": 2}, {"stage": 1}])
def test_seed_and_stage_change_the_order(other: dict[str, int]) -> None:
    sampler, changed = make(sizes=(50, 50)), make(sizes=(50, 50), **other)
    assert [sampler.draw(i) for i in range(40)] != [changed.draw(i) for i in range(40)]


def test_buckets_keep_every_draw_and_group_similar_lengths() -> None:
    lengths = [9, 1, 8, 2, 7, 3, 6, 4]
    batches = make().bucket_order(3, lengths, batch_size=2)
    assert sorted(i for batch in batches for i in batch) == list(range(8))
    assert sorted(sorted(lengths[i] for i in batch) for batch in batches) == [
        [1, 2],
        [3, 4],
        [6, 7],
        [8, 9],
    ]
    assert batches == make().bucket_order(3, lengths, batch_size=2)
    assert any(batches != make().bucket_order(w, lengths, batch_size=2) for w in range(4, 8))
