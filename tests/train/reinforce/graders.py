"""Reward functions for tests, as recipes name them."""

from typing import Any

CALLS: list[dict[str, Any]] = []


def letters(prompts: list[Any], completions: list[Any], **columns: list[Any]) -> list[float]:
    """The share of letters in an answer: a random model says many other characters."""
    CALLS.append({"prompts": prompts, "completions": completions, **columns})
    said = [each[-1]["content"] for each in completions]
    return [sum(map(str.isalpha, text)) / max(1, len(text)) for text in said]


def nothing(prompts: list[Any], completions: list[Any], **columns: list[Any]) -> list[float]:
    return [float("nan")] * len(completions)
