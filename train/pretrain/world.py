"""The world in words: conversations in which each medium is replaced by its description.

A language model that has read these knows what the descriptions mean, compares them, and answers
questions about them, before any aligner exists. Renders no media and trains nothing.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anymal.playground import pairs
from anymal.playground.labels import LARGER
from anymal.playground.pairs import Medium, Pair
from anymal.playground.question import Question
from anymal.playground.refusals import is_refusal
from anymal.playground.refused import draw_refused_or_near
from anymal.playground.scenes import Scene
from anymal.playground.sources import Split
from anymal.playground.topics import PLAYGROUND, RECORDED, SCENE, Topic, tell
from anymal.playground.words import YES_NO

_SYSTEM = (
    "You are a helpful assistant.",
    "You answer questions about images, videos, sounds and motion.",
    "Answer briefly.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Media and questions about them; without media, about none or those of earlier passages."""

    media: tuple[Medium, ...]
    questions: tuple[Question, ...]


def draw_passage(rng: np.random.Generator) -> Passage:
    """One medium, or two, with a few questions or many.

    Many, because a description that is read once teaches as often as it is asked about; but often
    a comparison alone, which is the hardest to learn and holds a single yes or no.
    """
    kind = rng.random()
    if kind < 0.35:
        return _one_question(_any_pair(rng), rng)
    if kind < 0.45:
        pair = _any_pair(rng)
        return Passage(media=pair.media, questions=_questions_about(pair, rng))
    return _one_medium(_any_topic(rng), rng, num_questions=int(rng.integers(1, 10)))


def draw_comparison(rng: np.random.Generator) -> Passage:
    """Questions that are decided by holding one thing against another.

    One about two media, or up to four about a scene of several things.
    """
    if rng.random() < 0.5:
        while True:
            passage = _one_question(_any_pair(rng), rng)
            if _compares(passage.questions[0]):
                return passage
    scene = SCENE.draw(rng)
    while not _holds_several(scene):
        scene = SCENE.draw(rng)
    count = int(rng.integers(1, 5))
    asked = (SCENE.ask(scene, rng) for _ in itertools.count())
    questions = tuple(itertools.islice(filter(_compares, asked), count))
    return Passage(media=(Medium(topic=SCENE, facts=scene),), questions=questions)


def draw_talk(rng: np.random.Generator) -> tuple[Passage, Passage]:
    """Questions about one medium, and in a later turn about another.

    Half of the time both are of one kind, so that only their order tells which one is meant.
    """
    topic = _any_topic(rng)
    other = topic if rng.random() < 0.5 else _any_topic(rng)
    first = _one_medium(topic, rng, num_questions=int(rng.integers(1, 3)))
    return first, _one_medium(other, rng, num_questions=int(rng.integers(1, 6)))


def draw_refusals(rng: np.random.Generator, split: Split = "train") -> tuple[Passage, ...]:
    """A conversation that ends in a refusal, or one that is much like it and is answered."""
    return tuple(
        Passage(media=turn.media, questions=(turn.question,))
        for turn in draw_refused_or_near(rng, split)
    )


def _compares(question: Question) -> bool:
    return question.choices == YES_NO or question.task in ("mixed more", LARGER)


_TOPICS = PLAYGROUND + RECORDED
# Scenes and clips hold most of what there is to understand.
_SHARES = (0.48, 0.16, 0.08, 0.05, 0.04, 0.05, 0.04, 0.04, 0.06)
# Which attribute belongs to which of several things takes longest to learn; a scene of one thing or
# a crowd is mostly redrawn.
_REDRAWN = 0.7
_PAIRS = (pairs.draw_comparison, pairs.draw_sign_and_speech_pair, pairs.draw_either)
_PAIR_SHARES = (0.45, 0.4, 0.15)


def _any_topic(rng: np.random.Generator) -> Topic:
    return _TOPICS[int(rng.choice(len(_TOPICS), p=_SHARES))]


def _one_medium(topic: Topic, rng: np.random.Generator, *, num_questions: int = 1) -> Passage:
    facts = topic.draw(rng)
    while topic is SCENE and not _holds_several(facts) and rng.random() < _REDRAWN:
        facts = topic.draw(rng)
    questions = tuple(topic.ask(facts, rng) for _ in range(num_questions))
    return Passage(media=(Medium(topic=topic, facts=facts),), questions=questions)


def _holds_several(scene: Scene) -> bool:
    return not scene.is_crowd and len(scene.things) > 1


def _any_pair(rng: np.random.Generator) -> Pair:
    draw = _PAIRS[int(rng.choice(len(_PAIRS), p=_PAIR_SHARES))]
    return draw(rng)


def _one_question(pair: Pair, rng: np.random.Generator) -> Passage:
    """Often the comparison; else one of the things that it compares."""
    if rng.random() < 0.6:
        return Passage(media=pair.media, questions=(pair.ask(rng),))
    medium = pair.media[int(rng.integers(2))]
    return Passage(media=pair.media, questions=(medium.topic.ask(medium.facts, rng),))


def _questions_about(pair: Pair, rng: np.random.Generator) -> tuple[Question, ...]:
    """Some about both media and some about either, in any order."""
    questions = [pair.ask(rng) for _ in range(int(rng.integers(1, 4)))]
    for medium in pair.media:
        asked = int(rng.integers(3))
        questions += [medium.topic.ask(medium.facts, rng) for _ in range(asked)]
    return tuple(questions[i] for i in rng.permutation(len(questions)))


def shorten(question: Question, rng: np.random.Generator) -> Question:
    """The same question asking for the answer alone, where that is shorter than the sentence.

    A value asked for by itself must be known where the answer begins, and only what is known there
    can decide between yes and no. A refusal has no shorter form, whatever is asked for.
    """
    if not question.choices:
        return question
    text = question.text + str(rng.choice(_SHORT))
    if is_refusal(question.answer):
        return replace(question, text=text)
    return replace(question, text=text, answer=f"{', '.join(question.expected)}.")


_SHORT = (" Just the answer.", " Answer with the word alone.", " In a word.")


def to_conversation(
    *passages: Passage, rng: np.random.Generator, short: float = 0.0
) -> dict[str, Any]:
    """Passages as one conversation of words alone, in the shape of every other conversation.

    Args:
        *passages: What is shown and asked, in turn.
        rng: Of the shape.
        short: Share of the questions that ask for short answers.
    """
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.04:
        messages.append({"role": "system", "content": str(rng.choice(_SYSTEM))})
    for passage in passages:
        # Before the question, as `media_first` writes media.
        shown = "".join(tell(medium.topic, medium.facts) for medium in passage.media)
        for whole in passage.questions:
            question = shorten(whole, rng) if rng.random() < short else whole
            messages.append({"role": "user", "content": shown + question.text})
            messages.append({"role": "assistant", "content": question.answer})
            shown = ""
    return {"messages": messages}
