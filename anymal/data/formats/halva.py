"""HALVA's pairs: a right answer, one with made-up phrases, and which phrases stand for each other.

The release numbers the phrase of each token of LLaVA's tokeniser, which is not at hand here.
As the answers are alike but for their phrases, the words in which they differ are the phrases;
their number has to be that of the release. Does not tokenise.
"""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from anymal.data.formats.pairs import asked_about
from anymal.data.formats.turns import kept, open_turns
from anymal.data.media_folder import is_list
from anymal.data.options import Options
from anymal.data.rows import Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError

_ANSWERS = ("answer", "hallucinated_answer")
_SIGNS = ("pos_signs", "neg_signs")
_WORD = re.compile(r"\w+|[^\w\s]")


def open_halva(path: Path, options: Options) -> Rows:
    """Open HALVA's pairs.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, halva_record, ("question", *_ANSWERS, *_SIGNS))


def halva_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row.

    Args:
        row: With `question`, `answer`, `hallucinated_answer`, `pos_signs` and `neg_signs`.
        unread: Is not needed; rows have no turns.

    Raises:
        DataError: It is of another shape, or its signs name another number of phrases than those in
            which the answers differ.
    """
    for name in ("question", *_ANSWERS):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(f"{name} is {row.get(name)!r:.80}; it should be words")
    chosen, rejected = (row[name] for name in _ANSWERS)
    phrases = differing(chosen, rejected)
    for name in _SIGNS:
        if (named := _num_phrases(row.get(name), name)) != len(phrases["chosen"]):
            raise DataError(
                f"{name} names {named} phrases, and the answers differ in "
                f"{len(phrases['chosen'])}; leave the row out"
            )
    meta = {**(row.get("meta") or {}), "phrases": phrases}
    messages = asked_about(row, row["question"])
    return (
        {"messages": messages, "chosen": chosen, "rejected": rejected} | kept(row) | {"meta": meta}
    )


def differing(chosen: str, rejected: str) -> dict[str, list[list[int]]]:
    """The runs of words in which two answers differ, as `meta.phrases` has them.

    Args:
        chosen: The one.
        rejected: The other.

    Returns:
        By answer, `[first character, the one after the last, number from 1]` of each.

    Raises:
        DataError: Words of one answer have none in their place in the other.
    """
    places = [[match.span() for match in _WORD.finditer(text)] for text in (chosen, rejected)]
    words = [
        [text[start:end] for start, end in spans]
        for text, spans in zip((chosen, rejected), places, strict=True)
    ]
    found: dict[str, list[list[int]]] = {"chosen": [], "rejected": []}
    for kind, *bounds in SequenceMatcher(None, words[0], words[1], autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        number = len(found["chosen"]) + 1
        for name, spans, start, end in zip(found, places, bounds[::2], bounds[1::2], strict=True):
            if start == end:
                raise DataError(
                    f"phrase {number} is in one answer alone; phrases stand for each other"
                )
            found[name].append([spans[start][0], spans[end - 1][1], number])
    return found


def _num_phrases(signs: Any, name: str) -> int:
    """How many phrases the signs of an answer name."""
    if not is_list(signs) or not all(type(sign) is int and sign >= 0 for sign in signs):
        raise DataError(
            f"{name} is {signs!r:.80}; it should be the number of its phrase for each token, or 0"
        )
    return len({sign for sign in signs if sign})
