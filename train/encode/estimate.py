"""Estimates how much disk features take, before any of them is written.

Does not write. All media of a manifest are counted, each file once; of a Python source, whose
records may be slow to make, those of evenly spaced records. Sizes are measured on a
few media of each.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from train.data.sources import Source
from train.encode.media import Place, places

RECORDS_PER_SOURCE = 32
MEDIA_PER_SOURCE = 8  # of each modality


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Features of one modality.

    Attributes:
        modality: Its name.
        num_media: About how many media; duplicates that were noticed count once.
        num_bytes: About how many bytes their features take.
    """

    modality: str
    num_media: float
    num_bytes: float


@dataclass(slots=True)
class _Seen:
    """Media of one modality in one source."""

    count: int = 0
    chosen: list[Place] = field(default_factory=list)

    def add(self, place: Place, random_: random.Random) -> None:
        """Count a medium; each has the same chance to be chosen."""
        self.count += 1
        if len(self.chosen) < MEDIA_PER_SOURCE:
            self.chosen.append(place)
        elif (slot := random_.randrange(self.count)) < MEDIA_PER_SOURCE:
            self.chosen[slot] = place


def estimate(
    sources: Sequence[Source],
    *,
    limit: int | None,
    modality_of: Callable[[Place], str],
    measure: Callable[[Sequence[Place]], Sequence[int]],
) -> list[Estimate]:
    """Estimate the features of some sources.

    Args:
        sources: Each once.
        limit: Most records of each.
        modality_of: Returns the modality of a medium.
        measure: Encodes a few media of one modality; returns the bytes of each one's features.

    Returns:
        An estimate for every modality that occurs.

    Raises:
        DataError: A record or one of the measured media cannot be used.
    """
    totals: dict[str, list[Estimate]] = {}
    references: set[int] = set()
    for source in sources:
        seen, scale = _look_through(source, limit, modality_of, references)
        for name, media in seen.items():
            each = fmean(measure(media.chosen))
            count = media.count * scale
            one = Estimate(modality=name, num_media=count, num_bytes=count * each)
            totals.setdefault(name, []).append(one)
    return [
        Estimate(
            modality=name,
            num_media=sum(part.num_media for part in parts),
            num_bytes=sum(part.num_bytes for part in parts),
        )
        for name, parts in totals.items()
    ]


def _look_through(
    source: Source, limit: int | None, modality_of: Callable[[Place], str], references: set[int]
) -> tuple[dict[str, _Seen], float]:
    """Some media of a source by modality, and the factor to all of them."""
    size = num_records(source, limit)
    step = max(1, size // RECORDS_PER_SOURCE) if source.rows is None else 1
    indices = range(0, size, step)
    seen: dict[str, _Seen] = {}
    random_ = random.Random(0)
    for index in indices:
        for place in places(source, index):
            reference = hash((place.base_dir, place.part.model_dump_json()))
            if reference not in references:
                references.add(reference)
                seen.setdefault(modality_of(place), _Seen()).add(place, random_)
    return seen, size / len(indices)


def num_records(source: Source, limit: int | None) -> int:
    """How many records of a source are encoded."""
    size = len(source.records)
    return size if limit is None else min(size, limit)
