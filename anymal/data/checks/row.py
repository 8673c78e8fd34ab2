"""One row through every check that looks at a row.

Does not compare rows (see `repeats`) and does not go over a data set (see `run`).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from anymal.data.checks.length import Length, length_mistakes
from anymal.data.checks.lists import list_mistakes
from anymal.data.checks.media import CheckedMedium, DecodeOne, check_medium, decode_alone
from anymal.data.checks.mistake import Mistake, mistake_of
from anymal.data.checks.repeats import Fingerprint, fingerprint
from anymal.data.checks.talk import read_talk
from anymal.data.rows import Rows
from anymal.errors import AnymalError, DataError
from anymal.modality import Medium
from anymal.protocol.conversation import Conversation, PromptEmbedsPart, TextPart


class Model(Protocol):
    """What a recipe's model knows of rows; several threads ask at once."""

    def decode(self, medium: Medium, modality: str) -> Any:
        """Decode a medium as its encoder wants it."""
        ...

    def length(self, conversation: Conversation, base_dir: Path, decode: DecodeOne) -> Length:
        """Measure a conversation in tokens.

        Raises:
            AnymalError: The model does not take it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRow:
    """What became of a row.

    Attributes:
        mistakes: What is wrong with it.
        found: Its fingerprint; None where it could not be read.
        media: By modality, the size of each medium that could be decoded (see `CheckedMedium`).
        num_words: Words of all its turns; of several answers, the longest counts.
        num_tokens: Its length, where a model measured it.
    """

    mistakes: tuple[Mistake, ...]
    found: Fingerprint | None = None
    media: dict[str, list[float]] = field(default_factory=dict)
    num_words: int = 0
    num_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow:
    """A row with what was decoded on the way.

    Attributes:
        checked: What became of it.
        conversation: Its turns; of several answers, the first; None where it is no conversation.
        media: Its media, in order.
    """

    checked: CheckedRow
    conversation: Conversation | None = None
    media: Sequence[CheckedMedium] = ()


def check_row(
    rows: Rows, index: int, model: Model | None, *, numbers: Collection[str] = ()
) -> CheckedRow:
    """Check one row; see `read_row`. Keeps no media, which take memory."""
    return read_row(rows, index, model, numbers=numbers).checked


def read_row(
    rows: Rows, index: int, model: Model | None, *, numbers: Collection[str] = ()
) -> ReadRow:
    """Read one row, decode its media and check all of it.

    Args:
        rows: A data set.
        index: Number of the row.
        model: Measures its length; None leaves that out.
        numbers: Keys of `meta` that a stage weighs pairs of answers by.

    Returns:
        What is wrong with it, and what else was learnt on the way.
    """
    mistakes: list[Mistake] = []
    try:
        mistakes += list_mistakes(rows.in_file(index))
        record = rows[index]
    except DataError as error:
        told = mistake_of(error, "unreadable", change="repair it", where=rows.where(index))
        # What says more about the same stands for it.
        return ReadRow(checked=CheckedRow(mistakes=tuple(mistakes) or (told,)))
    talk = read_talk(record, numbers)
    mistakes += talk.mistakes
    if talk.unread is not None:
        return ReadRow(checked=CheckedRow(mistakes=tuple(mistakes) or (talk.unread,)))
    conversation = talk.conversations[0]
    media = list(checked_media(conversation, rows.base_dir, model))
    of_media = [mistake for medium in media for mistake in medium.mistakes]
    num_tokens = None
    if model is not None and not mistakes and not of_media:
        try:
            decode = decoded_before(media)
            lengths = [model.length(one, rows.base_dir, decode) for one in talk.conversations]
        except AnymalError as error:
            mistakes.append(mistake_of(error, "unfit", change="change the row, or the model"))
        else:
            longest = max(lengths, key=lambda length: length.num_tokens)
            num_tokens = longest.num_tokens
            mistakes += length_mistakes(longest)
    sizes: dict[str, list[float]] = {}
    for medium in media:
        if medium.size is not None:
            sizes.setdefault(medium.modality, []).append(medium.size)
    digests = [medium.digest for medium in media]
    checked = CheckedRow(
        mistakes=(*mistakes, *of_media),
        found=fingerprint(talk.conversations, digests, record.get("id")),
        media=sizes,
        num_words=max(map(_num_words, talk.conversations)),
        num_tokens=num_tokens,
    )
    return ReadRow(checked=checked, conversation=conversation, media=media)


def checked_media(
    conversation: Conversation, base_dir: Path, model: Model | None
) -> Iterator[CheckedMedium]:
    """Check the media of a conversation, in order.

    Args:
        conversation: Its turns.
        base_dir: Folder that paths are relative to.
        model: Decodes as its encoders want it; None decodes without them.

    Yields:
        Each medium; soft tokens too, which are no files and are not checked.
    """
    decode = decode_alone if model is None else model.decode
    for part in (part for message in conversation.messages for part in message.parts):
        if isinstance(part, PromptEmbedsPart):
            yield CheckedMedium(modality="embeds", digest=part.prompt_embeds.data, mistakes=())
        elif not isinstance(part, TextPart):
            yield check_medium(part, base_dir, decode)


def decoded_before(media: Sequence[CheckedMedium]) -> DecodeOne:
    """Make a way to decode that gives the signals which some media were decoded to."""
    signals = {(medium.modality, medium.digest): medium.signal for medium in media}

    def decode(medium: Medium, modality: str) -> Any:
        return signals[modality, medium.digest]

    return decode


def _num_words(conversation: Conversation) -> int:
    """Words of all turns, white space between them."""
    parts = (part for message in conversation.messages for part in message.parts)
    return sum(len(part.text.split()) for part in parts if isinstance(part, TextPart))
