"""A sample and the soft tokens of its media as the spans of a prompt.

Does not encode, and waits for nothing.

Shapes: Q positions of one slot, D_llm embedding width.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from torch import Tensor

from anymal.engine.prompt import EmbeddingSpan, SideSpan, Span, TokenSpan
from anymal.errors import DataError
from anymal.sample import Sample, item_numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What a medium became.

    Attributes:
        digest: SHA-256 of all that it was made from.
        tokens: `[Q, D_llm]`, the soft tokens of all its slots, one slot after the other;
            `[Q, D_side]` where the model reads them beside the row.
    """

    digest: str
    tokens: Tensor


def spans_of(
    sample: Sample, media: Mapping[str, Sequence[Made]], *, is_beside: bool
) -> tuple[Span, ...]:
    """Words and soft tokens in the order in which they are read.

    Args:
        sample: Its slots and media agree in number.
        media: By modality, in the order of the sample's items.
        is_beside: Whether media stand beside the row, where they take no positions.

    Returns:
        The spans.

    Raises:
        DataError: A medium has another number of soft tokens than its slots have positions.
    """
    numbers = item_numbers(sample.slots)
    keys = [(slot.modality, number) for slot, number in zip(sample.slots, numbers, strict=True)]
    wanted, slots_of = Counter[tuple[str, int]](), Counter(keys)
    for slot, key in zip(sample.slots, keys, strict=True):
        wanted[key] += slot.length
    taken = Counter[tuple[str, int]]()
    spans: list[Span] = []
    position = 0
    for slot, key in zip(sample.slots, keys, strict=True):
        spans += _words(sample, position, slot.start)
        made = media[slot.modality][key[1]]
        if is_beside:
            assert slot.length == 0, "media beside the row take no positions"
            spans.append(SideSpan(embeddings=made.tokens, digest=made.digest, kind=slot.modality))
            position = slot.start
            continue
        if len(made.tokens) != wanted[key]:
            raise DataError(
                f"{slot.modality}: the sample reserves {wanted[key]} positions, but the aligner "
                f"gave {len(made.tokens)} soft tokens; processor and aligner must have the same "
                "num_tokens, and the encoder the layouts that it tells"
            )
        start, stop = taken[key], taken[key] + slot.length
        is_whole = slots_of[key] == 1
        spans.append(
            EmbeddingSpan(
                embeddings=made.tokens if is_whole else made.tokens[start:stop],
                digest=made.digest if is_whole else f"{made.digest} {slot.window}",
                kind=slot.modality,
            )
        )
        taken[key] = stop
        position = slot.start + slot.length
    return (*spans, *_words(sample, position, len(sample.ids)))


def _words(sample: Sample, start: int, stop: int) -> list[Span]:
    """The words of a stretch; what was measured of media is counted apart."""
    ids = sample.ids[start:stop].tolist()
    if sample.facts is None:
        return [TokenSpan(ids=tuple(ids))] if ids else []
    runs = groupby(zip(ids, sample.facts[start:stop].tolist(), strict=True), key=itemgetter(1))
    return [
        TokenSpan(ids=tuple(id_ for id_, _ in run), kind="facts" if is_fact else "text")
        for is_fact, run in runs
    ]
