"""Pairs that are worth keeping, as rows beside the media they are about.

Does not ask for them; `ask.py` does.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymal.data.media_folder import is_list
from anymal.data.rows import Around, Record
from anymal.data.synth.pairs import Pair, agree, words
from anymal.errors import DataError

BLIND = "answered without the medium"
REPEAT = "asked before"


@dataclass(frozen=True, slots=True)
class Made(Around):
    """Rows: one for each pair.

    Attributes:
        pairs: The number of a row and its pair.
        model: Who wrote them.
    """

    pairs: Sequence[tuple[int, Pair]]
    model: str

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int, /) -> Record:
        row, pair = self.pairs[index]
        content = [*media_of(self.rows[row]), {"type": "text", "text": pair.question}]
        return {
            "id": f"synth-{index}",
            "messages": [
                {"role": "user", "content": content},
                {"role": "assistant", "content": pair.answer},
            ],
            "meta": {"source": self.where(index), "model": self.model},
        }

    def in_file(self, index: int, /) -> Mapping[str, Any]:
        """Read the row that a pair is about."""
        return self.rows.in_file(self.pairs[index][0])

    def where(self, index: int, /) -> str:
        """Return the place of the row that a pair is about."""
        return self.rows.where(self.pairs[index][0])


def media_of(record: Record) -> list[Mapping[str, Any]]:
    """The media of a record, in order.

    Raises:
        DataError: It has none.
    """
    contents = [one["content"] for one in record["messages"] if is_list(one.get("content"))]
    media = [part for content in contents for part in content if part["type"] != "text"]
    if not media:
        raise DataError("the row has no medium to ask about")
    return media


def digest_of_media(record: Record) -> str:
    """What is the same for records about the same media, as a caption data set has several of."""
    return hashlib.sha256(json.dumps(media_of(record), sort_keys=True).encode()).hexdigest()


def kept_pairs(
    said: Sequence[Sequence[tuple[Pair, str]]], about: Sequence[str]
) -> tuple[list[tuple[int, Pair]], Counter[str]]:
    """Choose pairs.

    Args:
        said: For each row its pairs, each with the answer that was given without the medium.
        about: For each row the digest of its media; a question is kept once for the same media.

    Returns:
        Those kept, each with the number of its row, and how many were dropped, by reason.
    """
    kept: list[tuple[int, Pair]] = []
    dropped: Counter[str] = Counter()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for row, (media, pairs) in enumerate(zip(about, said, strict=True)):
        for pair, blind in pairs:
            asked = media, words(pair.question)
            if asked in seen:
                dropped[REPEAT] += 1
            elif agree(pair.answer, blind):
                dropped[BLIND] += 1
            else:
                kept.append((row, pair))
            seen.add(asked)
    return kept, dropped
