"""Published pairs: a question, a chosen and a rejected answer in columns of their own.

RLHF-V and RLAIF-V (the older release has the three in `text`, as JSON), HSA-DPO, LLaVA-Hound-DPO,
and POVID, which has two conversations. Of each, what else a method needs goes into `meta`. Does not
open media and compares no scores.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.data.formats.turns import SHAREGPT, Message, kept, media_of, open_turns, read_turns
from anymal.data.options import Options
from anymal.data.placeholders import with_media
from anymal.data.rows import Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError

_PAIR = ("chosen", "rejected")
_SCORES = ("chosen_score", "rejected_score")
_ORIGIN = ("origin_dataset", "origin_split")
_TURNS = ("conversations", "rejected_conversations")


def open_rlhf_v(path: Path, options: Options) -> Rows:
    """Open RLHF-V's or RLAIF-V's pairs.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, rlhf_v_record, ("text", "question", *_PAIR, *_ORIGIN, "idx"))


def open_hsa_dpo(path: Path, options: Options) -> Rows:
    """Open HSA-DPO's pairs.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, hsa_dpo_record, ("question", "prompt", *_PAIR, *_SCORES))


def open_llava_hound(path: Path, options: Options) -> Rows:
    """Open LLaVA-Hound-DPO's pairs.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, llava_hound_record, ("prompt", "answer", *_PAIR, *_SCORES))


def open_povid(path: Path, options: Options) -> Rows:
    """Open POVID's pairs.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, povid_record, _TURNS)


def rlhf_v_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row of RLHF-V or RLAIF-V.

    Args:
        row: With `question`, `chosen` and `rejected`, or these in `text`.
        unread: Is not needed; rows have no turns.

    Raises:
        DataError: It is of another shape.
    """
    told = row
    if row.get("text") is not None:
        try:
            told = json.loads(row["text"])
        except (TypeError, ValueError) as error:
            raise DataError(f"text is {row['text']!r:.80}, which is no JSON ({error})") from error
        if not isinstance(told, Mapping):
            raise DataError(f"text is {row['text']!r:.80}; it should hold question and answers")
    record = _record(row, _words(told, "question"), told)
    if "id" not in record and row.get("idx") is not None:
        record["id"] = str(row["idx"])
    return _with_meta(record, {name: row[name] for name in _ORIGIN if row.get(name) is not None})


def hsa_dpo_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row of HSA-DPO.

    Args:
        row: With `question` or `prompt`, both answers, and `rejected_score`: the mean severity of
            what the rejected answer makes up, which becomes `meta.severity`.
        unread: Is not needed; rows have no turns.

    Raises:
        DataError: It is of another shape, or has no such score.
    """
    asked = _words(row, "question" if row.get("question") is not None else "prompt")
    meta = {"severity": _number(row, "rejected_score")}
    if row.get("chosen_score") is not None:
        meta["chosen_score"] = _number(row, "chosen_score")
    return _with_meta(_record(row, asked, row), meta)


def llava_hound_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row of LLaVA-Hound-DPO.

    Args:
        row: With `video`, `prompt`, the chosen answer as `chosen` or `answer`, `rejected`, and
            perhaps both scores.
        unread: Is not needed; rows have no turns.

    Raises:
        DataError: It is of another shape.
    """
    chosen = row.get("chosen", row.get("answer"))
    record = _record(row, _words(row, "prompt"), {**row, "chosen": chosen})
    return _with_meta(
        record, {name: _number(row, name) for name in _SCORES if row.get(name) is not None}
    )


def povid_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row of POVID.

    Args:
        row: With `conversations` and `rejected_conversations`, alike up to the last answer.
        unread: Warns of keys of turns that are left out.

    Raises:
        DataError: It is of another shape, or they differ before the last answer.
    """
    chosen, rejected = (
        read_turns(row.get(name), column=name, tags=SHAREGPT, unread=unread) for name in _TURNS
    )
    return pair_of_turns(row, chosen, rejected, names=_TURNS)


def pair_of_turns(
    row: Mapping[str, Any],
    chosen: Sequence[Message],
    rejected: Sequence[Message],
    *,
    names: Sequence[str],
) -> dict[str, Any]:
    """Make a record of two conversations that differ in their last answer.

    Args:
        row: With media, and perhaps `id` and `meta`.
        chosen: The one.
        rejected: The other.
        names: Of their columns, for errors.

    Raises:
        DataError: They do not end with an answer in words, or differ before.
    """
    answers = {}
    for name, turns, column in zip(_PAIR, (chosen, rejected), names, strict=True):
        last = turns[-1]
        if last["role"] != "assistant" or (said := spoken(last["content"])) is None:
            raise DataError(f"{column} does not end with an answer in words")
        answers[name] = said
    # Who answers earlier turns does not matter here; only these two answers are learnt.
    if [_said(one) for one in chosen[:-1]] != [_said(one) for one in rejected[:-1]]:
        raise DataError(
            f"{' and '.join(names)} differ before the last answer; a pair is one question with two "
            "answers, so make a row of each question"
        )
    messages = with_media(chosen[:-1], media_of(row), none_is_first=True)
    return {"messages": messages, **answers} | kept(row)


def spoken(content: Any) -> str | None:
    """The words of an answer; None where it holds something else."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    texts = [
        part.get("text")
        for part in parts
        if isinstance(part, Mapping) and part.get("type") == "text"
    ]
    if not texts or len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        return None
    return "".join(map(str, texts))


def asked_about(row: Mapping[str, Any], question: str) -> list[dict[str, Any]]:
    """A question in words, with the media of its row."""
    return with_media([{"role": "user", "content": question}], media_of(row), none_is_first=True)


def _record(row: Mapping[str, Any], question: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """A question and the two answers to it."""
    answers = {name: _words(told, name) for name in _PAIR}
    return {"messages": asked_about(row, question), **answers} | kept(row)


def _with_meta(record: dict[str, Any], meta: Mapping[str, Any]) -> Record:
    """A record that says more about itself."""
    return {**record, "meta": {**record.get("meta", {}), **meta}} if meta else record


def _said(message: Message) -> tuple[Any, Any]:
    return message["role"], message["content"]


def _words(row: Mapping[str, Any], name: str) -> str:
    """A column that holds words."""
    if not isinstance(value := row.get(name), str) or not value.strip():
        found = "is missing" if value is None else f"is {value!r:.80}"
        raise DataError(f"{name} {found}; it should be words")
    return value


def _number(row: Mapping[str, Any], name: str) -> float:
    """A column that holds a number."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{name} is {value!r:.80}; it should be a number")
    return float(value)
