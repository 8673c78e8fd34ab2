"""Several answers to each question of a data set, drawn from a model, as `completions`.

Does not know how a model is reached; it is given a function. Judges nothing.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anymal.data.compared import COMPLETIONS, is_compared, question_of, without_answers
from anymal.data.conversation_media import Rewriter
from anymal.data.rows import Record, Rows
from anymal.errors import AnymalError, DataError
from anymal.media.corrupt import ABSENT
from anymal.protocol.conversation import data_url
from anymal.protocol.record import read_record

Messages = Sequence[Mapping[str, Any]]
Ask = Callable[[Messages, int], str]
"""From messages, whose media are data URLs, and a seed to an answer; threads call it."""
SAMPLED = "sampled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """How answers are drawn; each record says so in `meta.sampled`.

    Attributes:
        model: Who answers.
        count: Answers to each question.
        temperature: Of the draw; at 0 all answers would be the same.
        max_tokens: Most tokens of an answer.
        seed: Of the first answer to the first question; each further answer has the next seed.
        corruption: What is done to the media before the model gets them, by who asks it; `absent`
            leaves them out here. None does nothing.
        prompt: What the model reads in place of the words of the question; None leaves these.
    """

    model: str
    count: int
    temperature: float
    max_tokens: int
    seed: int = 0
    corruption: str | None = None
    prompt: str | None = None


def write_answers(
    rows: Rows,
    path: Path,
    ask: Ask,
    drawn: Drawn,
    *,
    concurrent: int,
    done: Callable[[int], None] = lambda count: None,
) -> None:
    """Ask each question several times; records that the file holds already are kept.

    Args:
        rows: With questions; answers that they have are left out.
        path: JSONL. Its records name media as `rows` do.
        ask: The model.
        drawn: How to ask.
        concurrent: Answers in flight at once.
        done: Is called with the number of records, as it grows.

    Raises:
        DataError: A row has no question, or the file holds other records; begins with the place.
    """
    first = _kept(path, rows, drawn)
    done(first)
    # As many questions at a time as keep all threads busy; what was answered is then on the disk.
    step = max(1, -(-concurrent // drawn.count))
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8") as file,
        ThreadPoolExecutor(concurrent, thread_name_prefix="answers") as pool,
    ):
        for start in range(first, len(rows), step):
            some = range(start, min(start + step, len(rows)))
            records = [_asked(rows, row) for row in some]
            wanted = list(_wanted(rows, some, records, drawn))
            texts = iter(list(pool.map(lambda one: ask(*one), wanted)))
            for row, record in zip(some, records, strict=True):
                answers = [{"text": next(texts)} for _ in range(drawn.count)]
                written = record | {COMPLETIONS: answers, "meta": _meta(record, drawn)}
                file.write(f"{json.dumps(written, ensure_ascii=False)}\n")
                done(row + 1)
            file.flush()


def _wanted(
    rows: Rows, some: Sequence[int], records: Sequence[Record], drawn: Drawn
) -> Iterator[tuple[Messages, int]]:
    """What to ask, with the seed of each answer."""
    for row, record in zip(some, records, strict=True):
        messages = _carrying(rows, row, record["messages"])
        if drawn.corruption == ABSENT:
            messages = [_without_media(one) for one in messages]
        if drawn.prompt is not None:
            messages = [*messages[:-1], _reworded(messages[-1], drawn.prompt)]
        for number in range(drawn.count):
            yield messages, drawn.seed + row * drawn.count + number


def _asked(rows: Rows, row: int) -> dict[str, Any]:
    """A record up to its question."""
    record = dict(rows[row])
    try:
        read_record(record)
    except AnymalError as error:
        raise DataError(f"{rows.where(row)}: {error}") from error
    if is_compared(record):
        record = without_answers(record)
    elif record["messages"][-1]["role"] == "assistant":
        record["messages"] = record["messages"][:-1]
    record["messages"] = question_of(record)
    if not record["messages"] or record["messages"][-1]["role"] != "user":
        raise DataError(
            f"{rows.where(row)}: there is no question of the user to answer; end the messages with "
            "one, or with one answer to it"
        )
    return record


def _carrying(rows: Rows, row: int, messages: Messages) -> list[dict[str, Any]]:
    """Messages that carry their media, for a model that may be elsewhere."""
    rewriter = Rewriter(
        base_dir=rows.base_dir, copies=True, put=lambda data, ending: data_url(data)
    )
    # Requests say nothing of what is learnt.
    plain = [{name: one[name] for name in ("role", "content")} for one in messages]
    try:
        carrying: list[dict[str, Any]] = rewriter.rewritten({"messages": plain})["messages"]
    except AnymalError as error:
        raise DataError(f"{rows.where(row)}: {error}") from error
    return carrying


def _without_media(message: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a message."""
    content = message["content"]
    words = [content] if isinstance(content, str) else [part.get("text") for part in content]
    return {**message, "content": "\n".join(word for word in words if word)}


def _reworded(message: Mapping[str, Any], words: str) -> dict[str, Any]:
    """A question in other words, about the same media."""
    content = message["content"]
    media = [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]
    return {**message, "content": [*media, {"type": "text", "text": words}]}


def _meta(record: Record, drawn: Drawn) -> dict[str, Any]:
    return {**record.get("meta", {}), SAMPLED: asdict(drawn)}


def _kept(path: Path, rows: Rows, drawn: Drawn) -> int:
    """How many records a file holds; a last line that was cut short is taken off it.

    Raises:
        DataError: They are not of these rows, or were drawn otherwise.
    """
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.splitlines()
    for number, line in enumerate(lines):
        try:
            held = json.loads(line)
            same = (
                number < len(rows)
                and held["messages"] == json.loads(json.dumps(_asked(rows, number)["messages"]))
                and held["meta"][SAMPLED] == asdict(drawn)
            )
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise DataError(
                f"{path}:{number + 1} was not written by this command with the same data and "
                "options; name another file, or delete this one"
            )
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return len(lines)
