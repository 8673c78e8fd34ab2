"""When an answer has begun to go in circles.

Does not end answers; `anymal.engine.reply` does. Torch-free.
"""

from collections import defaultdict

SHORTEST = 8  # tokens; shorter pieces repeat in lists, tables and sums that mean something
TIMES = 3


class Repetition:
    """Watches the tokens of one answer.

    The answer repeats itself once its last tokens are the same piece of `SHORTEST` or more tokens,
    `TIMES` times in a row. A shorter piece counts once several of it make such a piece.
    """

    def __init__(self) -> None:
        self._num_tokens = 0
        self._places: defaultdict[int, list[int]] = defaultdict(list)
        # By distance: how many of the last tokens equal the one that far before them.
        self._runs: dict[int, int] = {}

    def push(self, id_: int) -> bool:
        """Add a token; returns whether the answer repeats itself now."""
        distances = (self._num_tokens - place for place in self._places[id_])
        runs = {far: self._runs.get(far, 0) + 1 for far in distances if far >= SHORTEST}
        self._places[id_].append(self._num_tokens)
        self._num_tokens += 1
        self._runs = runs
        return any(run >= (TIMES - 1) * far for far, run in runs.items())
