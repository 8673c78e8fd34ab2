"""What the engine tells about one answer while it grows.

Does not know HTTP, JSON or the OpenAI shapes; `server` translates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one request.

    Attributes:
        prompt: Text and soft tokens of the prompt.
        completion: Tokens generated, whether or not they became text.
        by_kind: The prompt's tokens by `text` and by modality.
    """

    prompt: int
    completion: int
    by_kind: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """The next piece of the answer: whole characters, never empty."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The answer is complete."""

    reason: FinishReason
    counts: TokenCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The answer will not be completed."""

    error: Exception


Event = TextDelta | Finished | Failed
