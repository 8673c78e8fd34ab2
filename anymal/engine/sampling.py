"""How an answer is drawn: limits, randomness and where it ends.

Does not draw anything; `anymal.model` does.
"""

from dataclasses import dataclass

from anymal.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Options of one answer.

    Attributes:
        max_tokens: Most tokens to generate.
        temperature: 0 takes the likeliest token.
        top_p: Sample among the likeliest tokens that hold this much probability.
        stop: Strings that end the answer; they are not part of it.
        seed: Makes sampling repeatable; None draws a fresh one.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise EngineError(f"max_tokens is {self.max_tokens}; allowed: 1 or more")
        if not 0 <= self.temperature <= 2:
            raise EngineError(f"temperature is {self.temperature}; allowed: 0 to 2")
        if not 0 < self.top_p <= 1:
            raise EngineError(f"top_p is {self.top_p}; allowed: above 0, up to 1")
        if "" in self.stop:
            raise EngineError("stop holds an empty string; remove it")
