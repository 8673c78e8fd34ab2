"""A contender's side of the pipe: turns come in as lines of JSON, and answers go back as such.

Does not know what answers. Needs nothing but Python, so that a contender can have an environment of
its own.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one stream was answered.

    Attributes:
        moments: When each token came, in seconds from the beginning of the turn.
        ids: The tokens.
    """

    moments: list[float]
    ids: list[int]


Answer = Callable[[Sequence[Sequence[int]], int], list[Answered]]
"""Answers prompts that come at once, each with so many tokens; greedy, and never ended early."""


def work(make: Callable[[], Answer]) -> None:
    """Answer turns until there are no more.

    Args:
        make: Gets the contender ready.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log

    def reply(answers: list[Answered]) -> None:
        replies.write(json.dumps([asdict(each) for each in answers]) + "\n")
        replies.flush()

    answer = make()
    reply([])
    for line in sys.stdin:
        turn = json.loads(line)
        reply(answer(turn["prompts"], turn["num_new"]))
