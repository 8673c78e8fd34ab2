"""Mistakes that only show between rows: a row twice, an id twice, one question with two answers.

Keeps a few digests of each row and no words.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from anymal.data.checks.mistake import Mistake
from anymal.protocol.conversation import Conversation, TextPart

_BYTES = 16  # of a digest: no two of 10^12 rows share one by chance
_Key = bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question about media, with all that was said before it, and its answer; as digests."""

    question: _Key
    answer: _Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What tells a row from others.

    Attributes:
        id: Its own `id`, if it has one.
        whole: Digest of all its turns.
        asked: Its questions about media.
    """

    id: str | None
    whole: _Key
    asked: tuple[Asked, ...]


def fingerprint(
    conversations: Sequence[Conversation], media: Sequence[str], row_id: object = None
) -> Fingerprint:
    """Take the fingerprint of a row; media count by content, so the names of files do not matter.

    Args:
        conversations: Its turns; several where answers are compared, which are meant to differ.
        media: Digests of its media, in order, the same in all of these.
        row_id: Its `id`.

    Returns:
        The fingerprint.
    """
    said = [_said(conversation, media) for conversation in conversations]
    whole, asked = said[0]
    if len(said) > 1:
        whole = hashlib.sha256(b"".join(each for each, _ in said)).digest()[:_BYTES]
        asked = ()
    return Fingerprint(id=None if row_id is None else str(row_id), whole=whole, asked=asked)


def _said(conversation: Conversation, media: Sequence[str]) -> tuple[_Key, tuple[Asked, ...]]:
    """Digest of all turns, and the questions about media."""
    digests = iter(media)
    so_far = hashlib.sha256()
    asked = []
    has_media = False
    for message in conversation.messages:
        words = []
        for part in message.parts:
            is_text = isinstance(part, TextPart)
            has_media = has_media or not is_text
            words.append(part.text if isinstance(part, TextPart) else next(digests, ""))
        said = "\x1f".join(" ".join(one.split()) for one in words)
        if message.role == "assistant" and has_media:
            answer = hashlib.sha256(said.encode()).digest()[:_BYTES]
            asked.append(Asked(question=so_far.digest()[:_BYTES], answer=answer))
        so_far.update(f"\x1e{message.role}\x1f{said}".encode())
    return so_far.digest()[:_BYTES], tuple(asked)


class Repeats:
    """Compares each row with all rows before it.

    Args:
        where: From the number of a row to its place.
    """

    def __init__(self, where: Callable[[int], str]) -> None:
        self._where = where
        self._ids: dict[str, int] = {}
        self._rows: dict[_Key, int] = {}
        self._answers: dict[_Key, tuple[_Key, int]] = {}

    def mistakes(self, index: int, found: Fingerprint) -> Iterator[Mistake]:
        """Compare one row, and keep it for those that follow.

        Args:
            index: Its number.
            found: Its fingerprint.

        Yields:
            The mistakes; a row that repeats another has no others.
        """
        first = self._rows.setdefault(found.whole, index)
        if first != index:
            yield Mistake(
                kind="row_twice",
                reason=f"the same turns and media as {self._where(first)}",
                change="remove one of them; to count one for more, give its data set more weight",
            )
            return
        if found.id is not None and (first := self._ids.setdefault(found.id, index)) != index:
            yield Mistake(
                kind="id_twice",
                reason=f"the id {found.id!r} is that of {self._where(first)}",
                change="give each row an id of its own",
            )
        for asked in found.asked:
            answer, first = self._answers.setdefault(asked.question, (asked.answer, index))
            if answer != asked.answer:
                yield Mistake(
                    kind="two_answers",
                    reason=f"the same media and question as {self._where(first)}, which has "
                    "another answer",
                    change="keep the right one; where several are right, as captions are, allow "
                    "this kind (--allow two_answers)",
                )
