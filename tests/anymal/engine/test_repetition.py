"""When an answer goes in circles."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from anymal.engine.events import Finished
from anymal.engine.prompt import Prompt
from anymal.engine.repetition import Repetition
from anymal.engine.reply import Drawn, Reply
from anymal.engine.sampling import Sampling

START = [50, 51, 52]


def num_until_it_ends(ids: Sequence[int]) -> int | None:
    """How many tokens it took; None if it never ended."""
    watched = Repetition()
    return next((number for number, id_ in enumerate(ids, 1) if watched.push(id_)), None)


@pytest.mark.parametrize("period", [8, 9, 20])
def test_a_piece_ends_the_answer_with_its_third_time(period: int) -> None:
    piece = list(range(period))
    assert num_until_it_ends([*START, *piece * 2]) is None
    assert num_until_it_ends([*START, *(piece * 3)[:-1]]) is None
    assert num_until_it_ends([*START, *piece * 5]) == 3 + 3 * period


def test_a_piece_of_seven_counts_only_as_one_of_fourteen() -> None:
    piece = list(range(7))
    assert num_until_it_ends([*START, *piece * 5]) is None
    assert num_until_it_ends([*START, *piece * 6]) == 3 + 3 * 14


def test_one_token_again_and_again_ends_after_three_times_eight() -> None:
    assert num_until_it_ends([*START, *[7] * 100]) == 3 + 24


def test_a_change_within_the_piece_begins_anew() -> None:
    piece = list(range(8))
    assert num_until_it_ends([*piece * 2, 99, *piece * 2, *piece[:-1]]) is None
    assert num_until_it_ends([*piece * 2, 99, *piece * 3]) == 16 + 1 + 24


@pytest.mark.parametrize("stops", [True, False])
def test_an_answer_ends_only_where_that_was_asked_for(
    byte_runner: Any, say: Callable[[str], Prompt], stops: bool
) -> None:
    reply = Reply(byte_runner, say("What?"), Sampling(stop_repetition=stops))
    told, last = "", None
    for byte in b"Well!" + b"round we go, " * 9:
        for event in reply.push(Drawn(id=byte), limit=70, num_cached=0):
            if isinstance(event, Finished):
                last = event
            else:
                told += getattr(event, "text", "")
        if last is not None:
            break
    assert last is not None
    ends = ("repetition", len("Well!") + 3 * 13) if stops else ("length", 70)
    assert (last.reason, last.counts.completion) == ends
    assert told.startswith("Well!round we go, round we go, ")
