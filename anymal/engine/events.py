"""What the engine reports about one answer while it grows.

Does not know HTTP, JSON or the OpenAI shapes; `server` translates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

EndReason = Literal["stop", "length", "repetition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one request.

    Attributes:
        prompt: Text and soft tokens of the prompt.
        completion: Tokens generated, whether or not they became text.
        cached: Positions of the prompt that did not have to be computed.
        by_kind: The prompt's tokens by `text` and by modality.
    """

    prompt: int
    completion: int
    cached: int = 0
    by_kind: Mapping[str, int] = field(default_factory=dict)


class Alternative(NamedTuple):
    """A token that could have been said."""

    token: str
    bytes_: bytes
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprob:
    """How likely a token of the answer was, before temperature, penalties and choice.

    Attributes:
        token: Its text; a piece of a character as U+FFFD.
        bytes_: The bytes of its text.
        logprob: Natural logarithm of its probability.
        top: The likeliest tokens, likeliest first.
    """

    token: str
    bytes_: bytes
    logprob: float
    top: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """The next piece of the answer: whole characters, never empty.

    Attributes:
        text: The piece.
        logprobs: Of the tokens that were generated since the last piece, if asked for.
    """

    text: str
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The answer is complete.

    Attributes:
        reason: Why it ended.
        counts: What it took.
        logprobs: Of tokens whose text never came out, if asked for.
    """

    reason: EndReason
    counts: TokenCounts
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How likely a given answer is.

    Attributes:
        logprobs: Of each of its tokens, the natural logarithm of its probability after the prompt
            and the tokens before it.
        is_greedy: Whether each of them is the likeliest there, so that the model would say this.
    """

    logprobs: tuple[float, ...]
    is_greedy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihoods:
    """How likely each of the given answers is.

    Attributes:
        answers: One for each, in the order they were given.
        counts: What they took; `completion` counts the tokens of the given answers.
    """

    answers: tuple[Likelihood, ...]
    counts: TokenCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The number of a prompt.

    Attributes:
        value: The number.
        counts: What it took.
    """

    value: float
    counts: TokenCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The answer will not be completed."""

    error: Exception


Event = TextDelta | Finished | Likelihoods | Score | Failed
