"""What the language model is taught, and in which order.

Draws batches of conversations; does not train.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anymal.processor import Processor
from anymal.sample import Sample
from train.pretrain.drills import draw_drill, drill_words
from train.pretrain.world import (
    Passage,
    draw_comparison,
    draw_passage,
    draw_refusals,
    draw_talk,
    to_conversation,
)

_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """How one run over the world is mixed and how its learning rates fall.

    Attributes:
        drills_alone: Share of the steps, at the start, that are drills and nothing else.
        refusals: Share of the conversations about the world that end in a refusal, or nearly so.
        comparisons: Share of the others that are comparisons.
        plateau: Share of the steps after which rates fall, in a straight line.
    """

    drills_alone: float
    refusals: float
    comparisons: float
    plateau: float


# A model that can look things up learns the world in a fraction of the steps; what is left to learn
# then is whether two things that it looked up are the same.
FIRST_EPOCH = Epoch(drills_alone=0.15, refusals=0.1, comparisons=0.15, plateau=0.3)
SECOND_EPOCH = Epoch(drills_alone=0.0, refusals=0.15, comparisons=0.45, plateau=0.25)
_DRILLS = 0.1  # share of drills among the conversations afterwards
_TALKS = 0.1  # share of the other conversations in which a second medium comes in a later turn
_SHORT = 0.5  # share of the questions that ask for the answer alone


class Lessons:
    """Batches of conversations in the mixture of an epoch."""

    def __init__(self, epoch: Epoch, processor: Processor, rng: np.random.Generator) -> None:
        self._epoch = epoch
        self._processor = processor
        self._words = drill_words(list(processor.tokenizer.get_vocab()))
        self._rng = rng
        self._share = _DRILLS
        self._batches: list[list[Sample]] = []

    def batch(self, progress: float) -> list[Sample]:
        """The next batch, after `progress`, a share of the steps."""
        share = 1.0 if progress < self._epoch.drills_alone else _DRILLS
        if share != self._share or not self._batches:
            self._share = share
            drawn = sorted((self._draw() for _ in range(512)), key=lambda s: len(s.ids))
            batches = list(_by_length(drawn))
            self._batches = [batches[i] for i in self._rng.permutation(len(batches))]
        return self._batches.pop()

    def _draw(self) -> Sample:
        rng = self._rng
        if rng.random() < self._share:
            return self._processor(draw_drill(self._words, rng))
        return self._processor(to_conversation(*self._passages(), rng=rng, short=_SHORT))

    def _passages(self) -> tuple[Passage, ...]:
        rng = self._rng
        if rng.random() < self._epoch.refusals:
            return draw_refusals(rng)
        if rng.random() < self._epoch.comparisons:
            return (draw_comparison(rng),)
        return draw_talk(rng) if rng.random() < _TALKS else (draw_passage(rng),)


def _by_length(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Cut samples, shortest first, into batches of similar numbers of tokens, with padding."""
    batch: list[Sample] = []
    for sample in samples:
        if batch and (len(batch) + 1) * len(sample.ids) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(sample)
    yield batch
