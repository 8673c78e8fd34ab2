"""What goes through the model in one pass: samples, and the batch they make.

Does not read records, and does not decide how many samples go together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from anymal.collate import Batch, collate
from anymal.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How samples become a batch.

    Attributes:
        pad_id: Stands where there is no word.
        is_packed: Whether samples stand in one row; see `anymal.llm.packing`.
        splits_prefix: Whether what all begin with is left out; see `anymal.llm.shared_prefix`.
        pins_memory: Whether the batch lies where a GPU copies from while it computes.
    """

    pad_id: int
    is_packed: bool = False
    splits_prefix: bool = False
    pins_memory: bool = False

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Lay samples out."""
        batch = collate(
            samples,
            pad_id=self.pad_id,
            is_packed=self.is_packed,
            splits_prefix=self.splits_prefix,
        )
        return batch.pin_memory() if self.pins_memory else batch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Samples that go through the model together.

    Attributes:
        samples: Kept, so that they can be laid out again, fewer at a time.
        layout: How.
        batch: What they make.
    """

    samples: tuple[Sample, ...]
    layout: Layout
    batch: Batch

    @classmethod
    def of(cls, samples: Sequence[Sample], layout: Layout) -> Self:
        """Lay samples out."""
        return cls(samples=tuple(samples), layout=layout, batch=layout(samples))

    def cut(self, size: int) -> Iterator[Self]:
        """The same samples in pieces of at most `size`."""
        for first in range(0, len(self.samples), size):
            yield self.of(self.samples[first : first + size], self.layout)
