"""Requests to ask a service: words, pictures, films, sounds and motion, by shares and seed.

Does not send them.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymal.playground.sources import clips, motions, scenes, sounds

KINDS = ("text", "image", "video", "audio", "imu")
# No words alone: the built-in model answers about media only.
SHARES: Mapping[str, float] = {"image": 2, "video": 1, "audio": 1, "imu": 1}
WORDS = ("red", "round", "small", "left", "fast", "two", "still", "loud", "above", "later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is ready to be sent.

    Attributes:
        kind: One of `KINDS`.
        body: JSON.
    """

    kind: str
    body: bytes


def read_shares(text: str) -> dict[str, float]:
    """From `text:4,image:2`."""
    shares = {name: float(value) for name, value in (part.split(":") for part in text.split(","))}
    if unknown := set(shares) - set(KINDS):
        raise ValueError(f"unknown kind {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}")
    return shares


def requests(
    number: int,
    *,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    num_media: int = 8,
    max_tokens: int = 32,
    options: Mapping[str, Any] | None = None,
) -> list[Asked]:
    """Draw requests.

    Args:
        number: How many.
        shares: How often each kind comes, in any unit.
        seed: The same seed gives the same bytes.
        num_media: Different media of each kind; drawn again and again, as people ask more than
            once about what they have sent.
        max_tokens: Of each answer; the model's own wish to end is ignored.
        options: Further keys of every body, such as `model`.

    Returns:
        The requests, in the order in which they are to be sent.
    """
    random_ = random.Random(seed)
    kinds = random_.choices(list(shares), weights=list(shares.values()), k=number)
    messages = {kind: _messages(kind, num_media, seed) for kind in set(kinds)}
    common: dict[str, Any] = {
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        **(options or {}),
    }
    return [
        Asked(
            kind=kind,
            body=json.dumps({**common, "messages": [random_.choice(messages[kind])]}).encode(),
        )
        for kind in kinds
    ]


def _messages(kind: str, number: int, seed: int) -> Sequence[dict[str, Any]]:
    """Questions of a kind, media among them."""
    if kind == "text":
        random_ = random.Random(f"{seed} text")
        words = (" ".join(random_.choices(WORDS, k=12)) for _ in range(number))
        return [{"role": "user", "content": f"What is {each}?"} for each in words]
    source = {"image": scenes, "video": clips, "audio": sounds, "imu": motions}[kind]
    records = source(split="heldout", size=number, seed=seed)
    return [record["messages"][0] for record in records]
