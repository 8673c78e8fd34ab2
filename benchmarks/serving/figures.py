"""Exchanges to figures: how long answers took to begin and to go on, how many were good enough.

Does not send anything.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.serving.line import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What makes a request a good one; in milliseconds, None asks for nothing.

    Attributes:
        ttft: Most time to the first piece, counted from when the request was due.
        itl: Most time between pieces, the mean of the request's own.
        e2e: Most time to the end.
    """

    ttft: float | None = None
    itl: float | None = None
    e2e: float | None = None

    @classmethod
    def read(cls, text: str) -> "Objective":
        """From `ttft:500,itl:50`."""
        pairs = (part.split(":") for part in text.split(",") if part)
        return cls(**{name.strip(): float(value) for name, value in pairs})

    def is_met(self, exchange: Exchange) -> bool:
        """Whether a request was answered in time."""
        gaps = gaps_of(exchange)
        found = (
            (self.ttft, ttft_of(exchange)),
            (self.itl, 1000 * sum(gaps) / len(gaps) if gaps else 0.0),
            (self.e2e, 1000 * (exchange.ended - exchange.due)),
        )
        return exchange.error is None and all(
            most is None or value <= most for most, value in found
        )


def ttft_of(exchange: Exchange) -> float:
    """Milliseconds from when a request was due to its first piece; infinite without one."""
    return 1000 * (exchange.pieces[0] - exchange.due) if exchange.pieces else float("inf")


def gaps_of(exchange: Exchange) -> list[float]:
    """Seconds between the pieces of an answer."""
    return [float(gap) for gap in np.diff(exchange.pieces)]


def figures(exchanges: Sequence[Exchange], objective: Objective | None = None) -> dict[str, Any]:
    """What a run shows.

    Args:
        exchanges: All of the run, failed ones too.
        objective: For the goodput; None leaves it out.

    Returns:
        Figures by name. Rates are over the time from the first request's being due to the last
        answer's end.
    """
    good = [exchange for exchange in exchanges if exchange.error is None]
    seconds = max(e.ended for e in exchanges) - min(e.due for e in exchanges)
    gaps = [1000 * gap for exchange in good for gap in gaps_of(exchange)]
    found: dict[str, Any] = {
        "requests": len(exchanges),
        "seconds": round(seconds, 3),
        "requests_per_s": round(len(good) / seconds, 2),
        "output_tokens_per_s": round(sum(e.num_tokens for e in good) / seconds, 2),
        "ttft_ms": spread([ttft_of(e) for e in good if e.pieces]),
        "itl_ms": spread(gaps),
        "e2e_ms": spread([1000 * (e.ended - e.due) for e in good]),
        "errors": dict(Counter(e.error for e in exchanges if e.error is not None)),
    }
    if objective is not None:
        met = sum(objective.is_met(exchange) for exchange in exchanges)
        found["goodput_per_s"] = round(met / seconds, 2)
        found["good_share"] = round(met / len(exchanges), 4)
    return found


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median, 99th percentile and largest of some values; None of no values."""
    if not values:
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = (float(found) for found in np.percentile(values, (50, 99)))
    return {"p50": round(p50, 3), "p99": round(p99, 3), "max": round(max(values), 3)}
