"""Which record comes at which position: a pure function of seed, stage and position.

Reads no records. A checkpoint needs no state of it but the position.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# In each block of this many draws, every source gets its share, to within one draw.
BLOCK_DRAWS = 1024
# How many batches are sorted by length together; more means less padding and less mixing.
BUCKET_BATCHES = 8

_MIXTURE, _ORDER, _BUCKETS = range(3)  # one stream of random numbers for each kind of choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One record of one source, by their numbers."""

    source: int
    record: int


class Sampler:
    """Maps a position to a draw: a weighted mixture of sources, each reshuffled every epoch.

    Its state is only a cache: two samplers with the same arguments agree at every position,
    whichever positions they were called with before.
    """

    def __init__(
        self, *, seed: int, stage: int, sizes: Sequence[int], weights: Sequence[float]
    ) -> None:
        assert len(sizes) == len(weights) > 0, (sizes, weights)
        assert min(min(sizes), min(weights)) > 0, (sizes, weights)
        self._key = (seed, stage)
        self._sizes = list(sizes)
        self._edges = np.cumsum(np.asarray(weights, dtype=np.float64) / sum(weights))[:-1]
        self._drawn_before = [np.zeros(len(sizes), dtype=np.int64)]  # by block, then source
        self._block: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def draw(self, position: int) -> Draw:
        """Return the draw at a position, counted from 0 at the start of the stage."""
        block, offset = divmod(position, BLOCK_DRAWS)
        if self._block is None or self._block[0] != block:
            choices = self._choices(block)
            self._block = (block, choices, self._ranks(block, choices))
        source = int(self._block[1][offset])
        epoch, place = divmod(int(self._block[2][offset]), self._sizes[source])
        return Draw(source=source, record=int(self._order(source, epoch)[place]))

    def bucket_order(self, window: int, lengths: Sequence[int], batch_size: int) -> list[list[int]]:
        """Group the draws of one window into batches of similar length.

        Args:
            window: Number of the window within the stage.
            lengths: Estimated length of each draw of the window, in order.
            batch_size: Draws per batch; divides the number of lengths.

        Returns:
            Indices into `lengths`, batch by batch; the batches are in seeded random order.
        """
        by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
        batches = [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
        order = self._random(_BUCKETS, window).permutation(len(batches))
        return [batches[i] for i in order]

    def _random(self, *purpose: int) -> np.random.Generator:
        """Return a generator that depends on seed, stage and purpose only."""
        return np.random.default_rng((*self._key, *purpose))

    def _choices(self, block: int) -> NDArray[np.int64]:
        """Return the source of every draw of a block."""
        random = self._random(_MIXTURE, block)
        points = (random.permutation(BLOCK_DRAWS) + random.random()) / BLOCK_DRAWS
        return np.searchsorted(self._edges, points, side="right")

    def _ranks(self, block: int, choices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return, for every draw of a block, how many earlier draws chose the same source."""
        while len(self._drawn_before) <= block:
            previous = self._choices(len(self._drawn_before) - 1)
            counts = np.bincount(previous, minlength=len(self._sizes))
            self._drawn_before.append(self._drawn_before[-1] + counts)
        ranks = np.empty(BLOCK_DRAWS, dtype=np.int64)
        for source, before in enumerate(self._drawn_before[block]):
            chosen = choices == source
            ranks[chosen] = before + np.arange(int(chosen.sum()))
        return ranks

    def _order(self, source: int, epoch: int) -> NDArray[np.int64]:
        """Return the order of a source's records in one epoch; keeps two epochs of each."""
        key = (source, epoch)
        if key not in self._orders:
            random = self._random(_ORDER, source, epoch)
            self._orders[key] = random.permutation(self._sizes[source])
            self._orders.pop((source, epoch - 2), None)
        return self._orders[key]
