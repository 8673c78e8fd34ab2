"""How samples become a batch, and the samples that go through the model together.

Does not read or process records (see `train.data.feed`).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Self

from anymal.collate import Batch, collate
from anymal.sample import Sample


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How samples become a batch.

    Attributes:
        pad_id: Token id of padding.
        is_packed: Whether all samples share one row; see `anymal.llm.packing`.
        splits_prefix: Whether the prefix that all samples share is left out; see
            `anymal.llm.shared_prefix`.
        pins_memory: Whether the batch is in pinned memory, so that a GPU copies it while it
            computes.
        of_a_record: How many samples each record makes; they stay together.
    """

    pad_id: int
    is_packed: bool = False
    splits_prefix: bool = False
    pins_memory: bool = False
    of_a_record: int = 1

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Lay samples out."""
        batch = collate(
            samples,
            pad_id=self.pad_id,
            is_packed=self.is_packed,
            splits_prefix=self.splits_prefix,
        )
        return batch.pin_memory() if self.pins_memory else batch


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MicroBatch:
    """Samples that go through the model together, and the batch they make.

    Attributes:
        samples: Record after record. Kept so that they can be laid out again, fewer at a time.
        layout: How they become a batch.
        batch: The batch.
    """

    samples: tuple[Sample, ...]
    layout: Layout
    batch: Batch

    @classmethod
    def of(cls, samples: Sequence[Sample], layout: Layout) -> Self:
        """Lay samples out."""
        return cls(samples=tuple(samples), layout=layout, batch=layout(samples))

    @property
    def num_records(self) -> int:
        """How many records the samples are of; of most objectives, each makes one."""
        return len(self.samples) // self.layout.of_a_record

    def cut(self, size: int) -> Iterator[Self]:
        """The same samples in micro-batches of at most `size` records."""
        num_samples = size * self.layout.of_a_record
        for first in range(0, len(self.samples), num_samples):
            yield self.of(self.samples[first : first + num_samples], self.layout)
