"""The media of a recipe's records, read and preprocessed on the CPU for `train.encode.run`.

Does not run encoders. Records are read by one thread, as in training; media by several.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from anymal.decoding.medium import Decode
from anymal.errors import AnymalError, DataError
from anymal.media.limits import Limits
from anymal.modality import carrier_of, carriers_of, modality_of, read_medium
from anymal.protocol.conversation import MediaPart, PromptEmbedsPart
from encoders.base import Preprocessor
from train.data.sources import Source, StageData

RECORDS_AHEAD = 4  # per thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A media part and its record.

    Attributes:
        part: The part.
        base_dir: Folder that its path is relative to.
        where: Names its record in errors.
    """

    part: MediaPart
    base_dir: Path | None
    where: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One medium that was read.

    Attributes:
        modality: Its name.
        digest: SHA-256, as in `anymal.sample.Item`.
        where: Names its record and file in errors.
        tensors: Preprocessed, each `[W, ...]`; None where its features are stored already.
    """

    modality: str
    digest: str
    where: str
    tensors: dict[str, Tensor] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How media are read; several threads use it at once.

    Attributes:
        modalities: The model's.
        preprocessor: By modality.
        is_known: Whether features are there already, by modality and hash.
        limits: How much one medium may hold.
        decode: Decodes media.
    """

    modalities: Sequence[str]
    preprocessor: Callable[[str], Preprocessor]
    is_known: Callable[[str, str], bool]
    limits: Limits
    decode: Decode

    def modality(self, place: Place) -> str:
        """The modality of a medium.

        Raises:
            DataError: The model has none for it.
        """
        name = modality_of(place.part)
        if name not in self.modalities:
            raise DataError(
                f"{place.where}: this model does not take {carrier_of(place.part)}; it takes "
                f"{', '.join(carriers_of(self.modalities))}"
            )
        return name

    def read(self, place: Place) -> Item:
        """Read one medium.

        Raises:
            DataError: It cannot be used; the message names its record.
        """
        name = self.modality(place)
        try:
            medium = read_medium(place.part, limits=self.limits, base_dir=place.base_dir)
            digest = medium.digest
            tensors = None
            if not self.is_known(name, digest):
                preprocessor = self.preprocessor(name)
                tensors = preprocessor(
                    self.decode(medium, preprocessor, modality=name, limits=self.limits)
                )
        except AnymalError as error:
            raise DataError(f"{place.where}: {error}") from error
        where = f"{place.where}: {medium.name}"
        return Item(modality=name, digest=digest, where=where, tensors=tensors)

    def read_all(self, records: Iterator[list[Place]], *, threads: int) -> Iterator[list[Item]]:
        """Read the media of records, several records ahead of the caller.

        Args:
            records: The media of each record.
            threads: How many media are read at once.

        Yields:
            The media of each record, in the same order.
        """
        waiting: deque[list[Future[Item]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="media") as pool:
            try:
                for places in records:
                    waiting.append([pool.submit(self.read, place) for place in places])
                    if len(waiting) > RECORDS_AHEAD * threads:
                        yield [future.result() for future in waiting.popleft()]
                while waiting:
                    yield [future.result() for future in waiting.popleft()]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def distinct_sources(data: Sequence[StageData]) -> list[Source]:
    """The sources of stages, training and held-out, each of them once."""
    sources = [source for stage in data for source in stage.all]
    return list({id(source.records): source for source in sources}.values())


def places(source: Source, index: int) -> list[Place]:
    """The media of one record.

    Raises:
        DataError: The record is not a conversation.
    """
    return [
        Place(part=part, base_dir=source.base_dir, where=source.where(index))
        for message in source.read(index).messages
        for part in message.media.values()
        if not isinstance(part, PromptEmbedsPart)
    ]
