"""The media of a data set as an audit compares them: their content, and how pictures look.

Does not compare.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anymal.data.audit.likeness import Look, look_of
from anymal.data.checks.media import LIMITS, decode_alone
from anymal.data.checks.mistake import Mistake
from anymal.data.checks.turns import readable
from anymal.data.in_order import in_order
from anymal.data.rows import Rows
from anymal.errors import AnymalError, DataError
from anymal.modality import Medium, modality_of, read_medium
from anymal.protocol.conversation import MediaPart, PromptEmbedsPart, TextPart
from encoders.plugins import PluginError
from encoders.signals import Image, Video


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditedMedium:
    """One medium.

    Attributes:
        where: The place of its row.
        name: What the row calls it.
        modality: Its name.
        digest: SHA-256 of its bytes; None of one that cannot be read or decoded.
        looks: Of an image, or of the frames of a video; none of what shows too little.
    """

    where: str
    name: str
    modality: str
    digest: bytes | None
    looks: Sequence[Look] = ()


def audited_media(rows: Rows) -> Iterator[list[AuditedMedium]]:
    """Read the media of a data set.

    Args:
        rows: Its rows.

    Yields:
        The media of each row, in order; of a row that cannot be read, one without a digest.
    """

    def work(index: int) -> list[AuditedMedium]:
        return list(_of_row(rows, index))

    return in_order(range(len(rows)), work, name="audit")


def _of_row(rows: Rows, index: int) -> Iterator[AuditedMedium]:
    """The media of one row."""
    where = rows.where(index)
    unreadable = AuditedMedium(where=where, name="the row", modality="row", digest=None)
    try:
        conversation = readable(rows[index])
    except DataError:  # `anymal data check` says why
        yield unreadable
        return
    if isinstance(conversation, Mistake):
        yield unreadable
        return
    for part in (part for message in conversation.messages for part in message.parts):
        if not isinstance(part, TextPart | PromptEmbedsPart):
            yield _audited(part, rows, where)


def _audited(part: MediaPart, rows: Rows, where: str) -> AuditedMedium:
    """One medium, decoded if it shows pictures."""
    modality = modality_of(part)
    try:
        medium = read_medium(part, limits=LIMITS, base_dir=rows.base_dir)
    except AnymalError:
        return AuditedMedium(where=where, name=part.type, modality=modality, digest=None)
    looks: Sequence[Look] | None = ()
    if modality in ("image", "video"):
        looks = _looks(medium, modality)
    return AuditedMedium(
        where=where,
        name=medium.name,
        modality=modality,
        digest=None if looks is None else _digest(medium),
        looks=looks or (),
    )


def _digest(medium: Medium) -> bytes:
    """SHA-256 of the bytes of a file, whatever was declared beside it."""
    if medium.source is None:
        return bytes.fromhex(medium.digest)
    return hashlib.sha256(medium.source.data).digest()


def _looks(medium: Medium, modality: str) -> list[Look] | None:
    """How its pictures look; None where it cannot be decoded."""
    try:
        signal = decode_alone(medium, modality)
    except (AnymalError, PluginError):
        return None
    pictures = []
    match signal:
        case Image():
            pictures = [signal.pixels]
        case Video():
            pictures = list(signal.frames)
    return [look for pixels in pictures if (look := look_of(pixels)) is not None]
