"""The media of evaluation data that are in training data, too.

Keeps what it needs of the evaluation data in memory, about a kilobyte for each picture. Of training
data, it keeps only a digest of each medium.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anymal.data.audit.likeness import Look, are_alike, near
from anymal.data.audit.media import AuditedMedium, audited_media
from anymal.data.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A medium of the evaluation that is in the training data.

    Attributes:
        modality: Of the medium in the evaluation.
        evaluation: Its place and name.
        training: Place and name of the first medium there that is the same.
        how: What is the same about them.
    """

    modality: str
    evaluation: str
    training: str
    how: str


@dataclass(slots=True)
class Unread:
    """How many media could not be compared, because they cannot be read."""

    count: int = 0


def find_overlap(
    training: Iterable[Rows],
    evaluation: Iterable[Rows],
    unread: Unread,
    *,
    done: Callable[[], None] = lambda: None,
) -> Iterator[Match]:
    """Compare training data with evaluation data by their media.

    Args:
        training: Data sets that a model is trained on.
        evaluation: Data sets that it is measured with.
        unread: Counts what cannot be read.
        done: Called for each row.

    Yields:
        A match for each pair of different files, and one for each file that both have.
    """
    index = _Index()
    for medium in _read(evaluation, unread, done):
        index.add(medium)
    index.finish()
    seen: set[bytes] = set()
    for medium in _read(training, unread, done):
        assert medium.digest is not None, "media without a digest are left out"
        if medium.digest not in seen:
            seen.add(medium.digest)
            yield from index.matches(medium)


def _read(
    sets: Iterable[Rows], unread: Unread, done: Callable[[], None]
) -> Iterator[AuditedMedium]:
    """All media that can be compared."""
    for rows in sets:
        for media in audited_media(rows):
            for medium in media:
                if medium.digest is None:
                    unread.count += 1
                else:
                    yield medium
            done()


class _Index:
    """The media of the evaluation, each different file once."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, AuditedMedium] = {}
        self._looks: list[Look] = []
        self._owners: list[AuditedMedium] = []
        self._hashes: NDArray[np.uint8] = np.zeros((0, 0), dtype=np.uint8)

    def add(self, medium: AuditedMedium) -> None:
        """Keep a medium."""
        assert medium.digest is not None, "media without a digest are left out"
        if medium.digest not in self._by_digest:
            self._by_digest[medium.digest] = medium
            self._looks += medium.looks
            self._owners += [medium] * len(medium.looks)

    def finish(self) -> None:
        """Make the hashes ready to be searched."""
        if self._looks:
            self._hashes = np.stack([look.bits for look in self._looks])

    def matches(self, medium: AuditedMedium) -> Iterator[Match]:
        """Everything that a medium of the training data is the same as."""
        assert medium.digest is not None, "media without a digest are left out"
        same = self._by_digest.get(medium.digest)
        if same is not None:
            yield _match(same, medium, "the same bytes")
        alike: Counter[int] = Counter()
        owners = {id(owner): owner for owner in self._found(medium, alike)}
        for number, owner in owners.items():
            # One picture in common is enough for an image; two films share more than half.
            half = min(len(owner.looks), len(medium.looks)) / 2
            if owner is not same and alike[number] > half:
                yield _match(owner, medium, _told(owner, medium, alike[number]))

    def _found(self, medium: AuditedMedium, alike: Counter[int]) -> Iterator[AuditedMedium]:
        """The owners of pictures that are like those of a medium; counts the pictures of each."""
        if not self._looks:
            return
        for place in {
            int(place)
            for look in medium.looks
            for place in near(look.bits, self._hashes)
            if are_alike(look, self._looks[place])
        }:
            alike[id(self._owners[place])] += 1
            yield self._owners[place]


def _told(owner: AuditedMedium, medium: AuditedMedium, alike: int) -> str:
    """What is alike."""
    if len(owner.looks) == 1 and len(medium.looks) == 1:
        return "looks alike"
    return f"{alike} of {len(owner.looks)} pictures look alike"


def _match(owner: AuditedMedium, medium: AuditedMedium, how: str) -> Match:
    """A match of two media."""
    return Match(
        modality=owner.modality,
        evaluation=f"{owner.where} ({owner.name})",
        training=f"{medium.where} ({medium.name})",
        how=how,
    )
