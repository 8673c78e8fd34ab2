"""Ask a text model about the captions of rows, several at a time, each row once.

Does not know how a model is reached; it is given a function. Does not choose among pairs.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from anymal.data.rows import Rows
from anymal.data.synth.log import SynthLog
from anymal.data.synth.made import media_of
from anymal.data.synth.pairs import Pair, read_pairs
from anymal.data.synth.prompts import blind_prompt, pairs_prompt
from anymal.errors import AnymalError, DataError
from anymal.protocol.record import read_record

Ask = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of all rows.

    Attributes:
        pairs: For each row its pairs, each with the answer that was given without the medium.
        unreadable: Places of rows whose replies could not be read, and why.
    """

    pairs: list[list[tuple[Pair, str]]]
    unreadable: list[str]


def ask_all(
    rows: Rows,
    ask: Ask,
    log: SynthLog,
    *,
    model: str,
    count: int,
    concurrent: int,
    tick: Callable[[], None],
) -> Said:
    """Ask about each row that the log does not hold.

    Args:
        rows: With captions as the assistant's words.
        ask: From a prompt to the model's reply; threads call it.
        log: Is read and written.
        model: Its name; another model is asked anew.
        count: Pairs to ask for, of each row.
        concurrent: Rows in flight at once.
        tick: Is called after each row.

    Raises:
        DataError: A row has no caption or no medium; begins with its place.
    """

    def work(index: int) -> str:
        record = rows[index]
        try:
            read_record(record)
            media_of(record)
            prompt = pairs_prompt(record, count)
        except AnymalError as error:
            raise DataError(f"{rows.where(index)}: {error}") from error
        key = hashlib.sha256(json.dumps([index, model, prompt]).encode()).hexdigest()
        if "pairs" not in log.lines.get(key, {}):
            log.add(key, _asked(ask, prompt))
        return key

    keys = {}
    pool = ThreadPoolExecutor(concurrent, thread_name_prefix="synth")
    try:
        futures = {pool.submit(work, index): index for index in range(len(rows))}
        for done in as_completed(futures):
            keys[futures[done]] = done.result()
            tick()
    finally:
        pool.shutdown(cancel_futures=True)
    lines = [log.lines[keys[index]] for index in range(len(rows))]
    return Said(
        pairs=[[(Pair(one[0], one[1]), one[2]) for one in line.get("pairs", [])] for line in lines],
        unreadable=[
            f"{rows.where(index)}: {line['unreadable']}"
            for index, line in enumerate(lines)
            if "unreadable" in line
        ],
    )


def _asked(ask: Ask, prompt: str) -> dict[str, object]:
    """What the model says of one row: pairs with their blind answers, or what cannot be read."""
    reply = ask(prompt)
    try:
        pairs = read_pairs(reply)
    except DataError as error:
        return {"unreadable": str(error), "reply": reply}
    return {"pairs": [[one.question, one.answer, ask(blind_prompt(one.question))] for one in pairs]}
