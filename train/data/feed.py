"""From sources to batches, in the sampler's order: the CPU side of a stage.

Does not touch the model or a device; meant to run in a `Prefetch` thread.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from anymal.errors import AnymalError, DataError
from anymal.modality import modality_of
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation, PromptEmbedsPart, TextPart
from anymal.protocol.grading import Grading
from anymal.recipe.objective import PreferenceRecipe
from anymal.recipe.schema import StageRecipe
from anymal.sample import Sample
from train.data.dropout import Dropout, enough_of
from train.data.graded import graded_samples
from train.data.layout import Layout, MicroBatch
from train.data.pairs import Pair, kept_sample, samples_of
from train.data.sampler import BUCKET_BATCHES, Draw, Sampler
from train.data.sources import Source
from train.ranks.group import ALONE, Ranks

CHARACTERS_PER_TOKEN = 4  # accurate enough for sorting
ROWS_AHEAD = 2  # per thread: one at work, one that waits for it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A conversation and where it came from; of a record with two answers, both."""

    conversation: Conversation
    base_dir: Path | None
    where: str
    pair: Pair | None = None
    compares: PreferenceRecipe | Grading | None = None
    asks: bool = False
    beside: "_Row | None" = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Records beside those of a stage, one at each position; the model is to stay as it was there.

    Attributes:
        sources: Where they come from.
        sampler: Decides which comes where.
    """

    sources: Sequence[Source]
    sampler: Sampler

    def with_row(self, row: _Row, position: int) -> _Row:
        """A row and the one beside it."""
        return dataclasses.replace(row, beside=_read(self.sampler.draw(position), self.sources))


def training_micro_batches(
    stage: StageRecipe,
    sources: Sequence[Source],
    sampler: Sampler,
    processor: Processor,
    slot_lengths: Mapping[str, int],
    layout: Layout,
    *,
    size: int,
    start: int,
    threads: int = 0,
    dropout: Dropout | None = None,
    ranks: Ranks = ALONE,
    beside: Beside | None = None,
) -> Iterator[MicroBatch]:
    """Yield the micro-batches of one batch after the other, without end.

    Args:
        stage: Gives `batch_size` and `bucket`, counted in records.
        sources: The opened `data` of the stage.
        sampler: Decides which record comes where.
        processor: Turns a conversation into a sample.
        slot_lengths: Soft tokens by modality, to estimate lengths.
        layout: How samples become a batch.
        size: Most records of one micro-batch.
        start: Batch to begin at; a batch is the same whichever batch was the first.
        threads: How many process samples; with 0, the one that asks does.
        dropout: Leaves media out; None leaves all in.
        ranks: Who shares each batch; the records of others are not made into samples.
        beside: Records beside those of the sources; None has none.

    Yields:
        `micro_batches_per_batch` micro-batches for each batch of `batch_size` records.

    Raises:
        DataError: A record cannot be used; the message names it.
    """

    def read(position: int) -> _Row:
        row = _drawn(position, sampler.draw(position), sources, dropout)
        return row if beside is None else beside.with_row(row, position)

    rows = _training_rows(stage, read, sampler, slot_lengths, size=size, start=start, ranks=ranks)
    for samples in _processed(rows, processor, threads):
        yield MicroBatch.of(samples, layout)


def _training_rows(
    stage: StageRecipe,
    read: Callable[[int], _Row],
    sampler: Sampler,
    slot_lengths: Mapping[str, int],
    *,
    size: int,
    start: int,
    ranks: Ranks,
) -> Iterator[list[_Row]]:
    """Yield the rows of one micro-batch after the other, without end."""
    per_window = BUCKET_BATCHES if stage.bucket else 1
    window, skip = divmod(start, per_window)
    while True:
        first = window * per_window * stage.batch_size
        places = range(first, first + per_window * stage.batch_size)
        known: dict[int, _Row] = {}
        order = [list(range(stage.batch_size))]
        if stage.bucket:  # every rank needs all lengths
            known = {i: read(place) for i, place in enumerate(places)}
            lengths = [estimated_length(row.conversation, slot_lengths) for row in known.values()]
            order = sampler.bucket_order(window, lengths, stage.batch_size)
        for batch in order[skip:]:
            own = ranks.own(batch)
            for cut in range(0, len(own), size):
                yield [known.get(i) or read(places[i]) for i in own[cut : cut + size]]
        window, skip = window + 1, 0


def micro_batches_of(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    processor: Processor,
    layout: Layout,
    *,
    size: int,
    threads: int = 0,
    beside: Beside | None = None,
) -> Iterator[MicroBatch]:
    """Yield given records in order, in micro-batches of at most `size`.

    Which record stands beside another depends on that one alone, not on who measures it.

    Raises:
        DataError: A record cannot be used; the message names it.
    """

    def read(draw: Draw) -> _Row:
        row = _read(draw, sources)
        return row if beside is None else beside.with_row(row, draw.record)

    cuts = (draws[first : first + size] for first in range(0, len(draws), size))
    rows = ([read(draw) for draw in cut] for cut in cuts)
    for samples in _processed(rows, processor, threads):
        yield MicroBatch.of(samples, layout)


def micro_batches_per_batch(stage: StageRecipe, size: int, ranks: Ranks = ALONE) -> int:
    """How many micro-batches of at most `size` records a batch has, or the share of a rank."""
    return -(-len(ranks.own(range(stage.batch_size))) // size)


def heldout_draws(sizes: Sequence[int], limit: int) -> list[Draw]:
    """At most `limit` held-out records, always the same, shared as evenly as sizes allow.

    Each source gives a fixed random choice, because its first records may all be of one kind.
    """
    counts = [0] * len(sizes)
    while sum(counts) < min(limit, sum(sizes)):
        open_sources = [i for i, size in enumerate(sizes) if counts[i] < size]
        counts[min(open_sources, key=counts.__getitem__)] += 1
    return [
        Draw(source=source, record=int(record))
        for source, count in enumerate(counts)
        for record in sorted(np.random.default_rng(0).permutation(sizes[source])[:count])
    ]


def slot_lengths(processor: Processor) -> dict[str, int]:
    """Return how many soft tokens a medium of each modality becomes at most."""
    return {name: own.most_tokens for name, own in processor.modalities.items()}


def estimated_length(conversation: Conversation, slots: Mapping[str, int]) -> int:
    """About how many positions a conversation takes, without tokenising it."""
    parts = [part for message in conversation.messages for part in message.parts]
    characters = sum(len(part.text) for part in parts if isinstance(part, TextPart))
    media = [part for part in parts if not isinstance(part, TextPart | PromptEmbedsPart)]
    return characters // CHARACTERS_PER_TOKEN + sum(slots.get(modality_of(p), 0) for p in media)


def read_samples(
    source: Source, record: int, processor: Processor
) -> tuple[Conversation, list[Sample]]:
    """One record, as it was read and as a stage processes it.

    Raises:
        DataError: It cannot be used; the message names it.
    """
    row = _read(Draw(source=0, record=record), [source])
    return row.conversation, _process(row, processor)


def _drawn(position: int, draw: Draw, sources: Sequence[Source], dropout: Dropout | None) -> _Row:
    """Read the record of one position of a stage, perhaps without one of its media."""
    if dropout is None:
        return _read(draw, sources)
    source, where = sources[draw.source], sources[draw.source].where(draw.record)
    record = source.records[draw.record]
    conversation = dropout(
        source.check(record, draw.record),
        enough_of(record, where=where),
        position=position,
        record=draw.record,
    )
    return _Row(conversation=conversation, base_dir=source.base_dir, where=where)


def _read(draw: Draw, sources: Sequence[Source]) -> _Row:
    """Read one record."""
    source = sources[draw.source]
    base_dir, where = source.base_dir, source.where(draw.record)
    if source.compares is None:
        return _Row(
            conversation=source.read(draw.record),
            base_dir=base_dir,
            where=where,
            asks=source.asks,
        )
    pair = source.pair(draw.record)
    return _Row(
        conversation=pair.conversations["chosen"],
        base_dir=base_dir,
        where=where,
        pair=pair,
        compares=source.compares,
    )


def _processed(
    pieces: Iterator[list[_Row]], processor: Processor, threads: int
) -> Iterator[list[Sample]]:
    """Yield the samples of each piece in order; each thread is up to `ROWS_AHEAD` rows ahead."""
    if not threads:
        for rows in pieces:
            yield [sample for row in rows for sample in _process(row, processor)]
        return
    waiting: deque[list[Future[list[Sample]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="samples") as pool:
        try:
            for rows in pieces:
                waiting.append([pool.submit(_process, row, processor) for row in rows])
                while sum(map(len, waiting)) > ROWS_AHEAD * threads:
                    yield [sample for row in waiting.popleft() for sample in row.result()]
            while waiting:
                yield [sample for row in waiting.popleft() for sample in row.result()]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _process(row: _Row, processor: Processor) -> list[Sample]:
    """Process one row; errors and the samples' names say where they came from."""
    try:
        if row.pair is None or row.compares is None:
            samples = [processor(row.conversation, base_dir=row.base_dir, generate=row.asks)]
        elif isinstance(row.compares, Grading):
            samples = graded_samples(row.pair, row.compares, processor, base_dir=row.base_dir)
        else:
            samples = samples_of(row.pair, row.compares, processor, base_dir=row.base_dir)
    except AnymalError as error:
        raise DataError(f"{row.where}: {error}") from error
    named = [dataclasses.replace(sample, name=row.where) for sample in samples]
    return named if row.beside is None else [*named, _process_kept(row.beside, processor)]


def _process_kept(row: _Row, processor: Processor) -> Sample:
    """Process a row that stands beside another."""
    try:
        sample = kept_sample(row.conversation, processor, base_dir=row.base_dir)
    except AnymalError as error:
        raise DataError(f"{row.where}: {error}") from error
    return dataclasses.replace(sample, name=row.where)
