"""The world in words: conversations in which each medium is replaced by its description.

A language model that has read these knows what the descriptions mean, compares them, and answers
questions about them, before any aligner exists. Renders no media and trains nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from anymal.playground.pairs import (
    Medium,
    draw_comparison,
    draw_either,
    draw_sign_and_speech_pair,
)
from anymal.playground.question import Question
from anymal.playground.topics import PLAYGROUND, RECORDED

# What the recipes of the built-in model write before each medium.
PREFIXES = {"image": "Image:", "video": "Video:", "audio": "Sound:", "imu": "Motion:"}
SUFFIX = "\n"

_SYSTEM = (
    "You are a helpful assistant.",
    "You answer questions about images, videos, sounds and motion.",
    "Answer briefly.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Media and questions about them."""

    media: tuple[Medium, ...]
    questions: tuple[Question, ...]


def draw_passage(rng: np.random.Generator) -> Passage:
    """One medium with up to three questions, or two media with a question about either or both."""
    kind = rng.random()
    if kind < 0.15:
        pair = draw_comparison(rng)
    elif kind < 0.25:
        pair = draw_sign_and_speech_pair(rng)
    elif kind < 0.4:
        pair = draw_either(rng)
    else:
        topics = PLAYGROUND + RECORDED
        topic = topics[int(rng.choice(len(topics), p=_SHARES))]
        facts = topic.draw(rng)
        questions = tuple(topic.ask(facts, rng) for _ in range(int(rng.integers(1, 4))))
        return Passage(media=(Medium(topic=topic, facts=facts),), questions=questions)
    return Passage(media=pair.media, questions=(pair.question,))


# Scenes and clips hold most of what there is to understand.
_SHARES = (0.3, 0.18, 0.12, 0.07, 0.06, 0.06, 0.06, 0.06, 0.09)


# Questions whose answer is one attribute among several; colours are the last words that a language
# model learns to look up rather than to guess.
_LOOK_UPS = frozenset(
    {
        "scene caption",
        "scene colour",
        "scene shape",
        "scene place",
        "clip caption",
        "clip colour",
        "clip colour change",
        "clip shape",
        "clip first",
        "clip last",
        "clip order",
        "mixed same colour",
    }
)


def draw_look_up(rng: np.random.Generator) -> Passage:
    """A passage with at least one question for one attribute among several."""
    while True:
        passage = draw_passage(rng)
        if any(question.task in _LOOK_UPS for question in passage.questions):
            return passage


def to_conversation(passage: Passage, rng: np.random.Generator) -> dict[str, Any]:
    """The passage as a conversation of words alone, in the shape of every other conversation."""
    descriptions = "".join(_in_words(medium, rng) for medium in passage.media)
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.04:
        messages.append({"role": "system", "content": str(rng.choice(_SYSTEM))})
    for index, question in enumerate(passage.questions):
        text = question.text
        if index == 0:
            # Most people show first and ask then.
            text = descriptions + text if rng.random() < 0.8 else f"{text}{descriptions}"
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": question.answer})
    return {"messages": messages}


def _in_words(medium: Medium, rng: np.random.Generator) -> str:
    """A description where the medium would be; sometimes twice, as soft tokens may say it."""
    words = medium.topic.describe(medium.facts)
    if rng.random() < 0.3:
        words = f"{words}. {words}"
    return f"{PREFIXES[medium.topic.modality]} {words}{SUFFIX}"
