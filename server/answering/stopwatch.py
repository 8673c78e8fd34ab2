"""Measures what the answers of one request take, for the metrics.

Does not log and does not limit.
"""

import asyncio

from anymal.engine.events import Finished, Likelihoods, TextDelta, TokenCounts
from server.answering.answers import Piece, Withheld
from server.metrics import Metrics


class Stopwatch:
    """Measures the time between pieces, and counts tokens."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._last: dict[int, float] = {}
        self._has_prompt = False

    def note(self, piece: Piece) -> None:
        """Take note of a piece."""
        now = self._clock()
        before = self._last.get(piece.index)
        match piece.event:
            case TextDelta() if before is not None:
                self._metrics.next_token(now - before)
            case TextDelta() if not self._last:
                self._metrics.first_token(now - self._began)
            case Finished() | Withheld() | Likelihoods():
                self._count(piece.event.counts)
        self._last[piece.index] = now

    def _count(self, counts: TokenCounts) -> None:
        """Count tokens; those of the prompt once, however many answers it has."""
        if not self._has_prompt:
            self._has_prompt = True
            for kind, number in counts.by_kind.items():
                self._metrics.tokens(kind, number)
            self._metrics.tokens("cached", counts.cached)
        self._metrics.tokens("completion", counts.completion)
