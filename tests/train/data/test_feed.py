from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from anymal.errors import DataError, MediaEmpty
from anymal.protocol.conversation import Conversation, read_conversation
from anymal.recipe.schema import StageRecipe
from anymal.sample import Sample
from train.data.feed import (
    estimated_length,
    heldout_draws,
    micro_batches_of,
    micro_batches_per_batch,
    training_micro_batches,
)
from train.data.layout import Layout
from train.data.sampler import BUCKET_BATCHES, Sampler
from train.data.sources import Source


class FakeProcessor:
    """One id per character of the question; a question of 13 characters is bad luck."""

    pad_id = 0

    def __call__(
        self, conversation: Conversation, *, base_dir: Path | None, generate: bool = False
    ) -> Sample:
        words = str(conversation.messages[0].content)
        if len(words) == 13:
            raise MediaEmpty("a.wav", "no samples", "a sound")
        ids = torch.arange(1, len(words) + 1)
        return Sample(ids=ids, labels=ids, slots=(), media={})


def record(length: int) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": "x" * length},
            {"role": "assistant", "content": "y"},
        ]
    }


def source(*lengths: int) -> Source:
    return Source(
        name="made",
        origin="made:up",
        licence="none",
        records=[record(length) for length in lengths],
        weight=1.0,
        base_dir=None,
    )


def stage(**changes: object) -> StageRecipe:
    fields = {
        "name": "s",
        "kind": "align",
        "data": [{"source": "made:up"}],
        "steps": 1,
        "batch_size": 2,
        "lr": 1.0,
    }
    return StageRecipe.model_validate({**fields, **changes})


LAYOUT = Layout(pad_id=0)


def batches(
    *, bucket: bool, start: int = 0, size: int = 2, threads: int = 0
) -> Iterator[list[str]]:
    sources = [source(*range(100, 180, 4)), source(*range(102, 180, 4))]
    sampler = Sampler(seed=1, stage=0, sizes=[len(s.records) for s in sources], weights=[1.0, 2.0])
    feed = training_micro_batches(
        stage(bucket=bucket),
        sources,
        sampler,
        FakeProcessor(),  # type: ignore[arg-type]
        {},
        LAYOUT,
        size=size,
        start=start,
        threads=threads,
    )
    for batch in (piece.batch for piece in feed):
        yield [f"{name}:{own}" for name, own in zip(batch.names, batch.lengths, strict=True)]


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize("start", [1, BUCKET_BATCHES, BUCKET_BATCHES + 3])
def test_a_later_start_gives_what_would_have_come(bucket: bool, start: int) -> None:
    straight = list(islice(batches(bucket=bucket), start + 9))
    assert list(islice(batches(bucket=bucket, start=start), 9)) == straight[start:]


@pytest.mark.parametrize("bucket", [True, False])
def test_micro_batches_are_batches_in_parts(bucket: bool) -> None:
    number = micro_batches_per_batch(stage(), 1)
    assert number == 2
    whole = list(islice(batches(bucket=bucket, start=5), 3))
    parts = list(islice(batches(bucket=bucket, start=5, size=1), 3 * number))
    assert [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)] == whole
    assert micro_batches_per_batch(stage(batch_size=7), 3) == 3


@pytest.mark.parametrize("size", [1, 2])
def test_threads_keep_the_order(size: int) -> None:
    plain = list(islice(batches(bucket=True, size=size), 30))
    assert list(islice(batches(bucket=True, size=size, threads=3), 30)) == plain


def test_buckets_move_samples_only_within_their_window() -> None:
    size = BUCKET_BATCHES
    for window in range(3):
        plain, bucketed = (
            [
                name
                for batch in islice(batches(bucket=b), window * size, (window + 1) * size)
                for name in batch
            ]
            for b in (False, True)
        )
        assert plain != bucketed
        assert sorted(plain) == sorted(bucketed)


def test_buckets_pad_less() -> None:
    def padding(bucket: bool) -> int:
        lengths = [
            [int(name.rpartition(":")[2]) for name in batch]
            for batch in islice(batches(bucket=bucket), 10 * BUCKET_BATCHES)
        ]
        return sum(max(batch) - min(batch) for batch in lengths)

    assert padding(True) < padding(False) / 3


def test_a_record_that_cannot_be_processed_is_named() -> None:
    processor: Any = FakeProcessor()
    draws = heldout_draws([2], 2)
    feed = micro_batches_of(draws, [source(5, 13)], processor, LAYOUT, size=2)
    with pytest.raises(DataError, match=r"^made:up\[1\]: a\.wav: found no samples"):
        list(feed)


def test_heldout_takes_evenly_from_sources_and_always_the_same() -> None:
    draws = heldout_draws([100, 3, 50], 23)
    counts = [sum(draw.source == number for draw in draws) for number in range(3)]
    assert counts == [10, 3, 10]
    assert draws == heldout_draws([100, 3, 50], 23)
    assert len({(draw.source, draw.record) for draw in draws}) == 23
    assert [draw.record for draw in draws if draw.source == 0] != list(range(10))
    assert len(heldout_draws([4, 3], 100)) == 7


def test_estimated_length_counts_words_and_slots() -> None:
    conversation = read_conversation(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "a.png"}},
                        {"type": "text", "text": "x" * 40},
                    ],
                },
                {"role": "assistant", "content": "y" * 20},
            ]
        }
    )
    assert estimated_length(conversation, {"image": 64, "audio": 32}) == 15 + 64
