"""Conversations that end in a refusal, and those that come near to one and are answered.

A question about a medium is drawn from the questions of its topic, so that nothing but the medium
tells whether it can be answered. Renders nothing; the sentences are those of `refusals.py`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from anymal.playground import labels, pairs, topics
from anymal.playground.outside import draw_outside_text
from anymal.playground.pairs import Medium, Pair
from anymal.playground.question import Question, ask
from anymal.playground.refusals import (
    MARKS,
    NOUNS,
    OUTSIDE,
    name_absent,
    name_kind,
    name_lack,
    say_absent,
    say_other_kind,
)
from anymal.playground.sources import Split
from anymal.playground.topics import PLAYGROUND, RECORDED, Topic

_TOPICS = PLAYGROUND + RECORDED
_ABSENT = tuple(
    name_absent({one, other}) for index, one in enumerate(NOUNS) for other in list(NOUNS)[index:]
)
_KINDS = tuple(
    dict.fromkeys(
        (
            *(name_kind(came) for came in NOUNS),
            *(name_lack(came, asked) for came in NOUNS for asked in NOUNS if came != asked),
        )
    )
)

# Questions that could as well be about another kind, by (asked about, came); none of them is
# refused because that other kind came.
_COULD_BE_ABOUT = {
    ("image", "video"): r"^(?!.*(picture|image))",  # all that do not name the picture
    ("image", "audio"): r"what is this\b",
    ("image", "imu"): r"what is this\b",
    ("video", "image"): r"colou?r",
    ("video", "audio"): r"what happens\b(?! in)",
    ("video", "imu"): r"what happens\b(?! in)|what is moving",
    ("imu", "video"): r"motion|moving|recording|the person|this person|the user|the wearer",
    ("imu", "audio"): r"recording",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question with the media that come with it.

    Attributes:
        media: None, one or two.
        question: What is asked, and the answer or refusal.
        told: The media that are described in words instead of shown, by their place.
    """

    media: tuple[Medium, ...] = ()
    question: Question
    told: tuple[int, ...] = ()


Talk = tuple[Turn, ...]


def draw_absent(rng: np.random.Generator, shown: Sequence[Topic] = _TOPICS) -> Talk:
    """A question about a medium that did not come: alone, with others, or in a later turn.

    Args:
        rng: Of all that is drawn.
        shown: The topics whose media can be shown.
    """
    kind = rng.random()
    if kind < 0.5:
        topic, question = _draw_question(rng, came=())
        return (_absent_turn(question, {topic.modality}),)
    if kind < 0.65:
        pair, question = _draw_comparison(rng, _TOPICS)
        return (_absent_turn(question, {medium.topic.modality for medium in pair.media}),)
    if kind < 0.8:
        pair, question = _draw_comparison(rng, shown)
        there, missing = (pair.media[i] for i in rng.permutation(2))
        if there.topic not in shown:
            there, missing = missing, there
        return (_absent_turn(question, {missing.topic.modality}, there),)
    pair = pairs.draw_either(rng, tuple(shown))
    came = tuple(medium.topic.modality for medium in pair.media)
    topic, question = _draw_question(rng, came=came)
    refused = _absent_turn(question, {topic.modality}, *pair.media)
    if kind < 0.9:
        return (refused,)
    return Turn(media=pair.media, question=pair.ask(rng)), replace(refused, media=())


def draw_other_kind(rng: np.random.Generator, shown: Sequence[Topic] = _TOPICS) -> Talk:
    """One medium, and with it or in a later turn a question about another kind of medium."""
    medium = _draw_medium(rng, shown)
    came = medium.topic.modality
    topic, question = _draw_question(rng, came=(came,))
    refused = replace(
        question,
        answer=say_other_kind(came, topic.modality),
        task="refused kind",
        expected=(name_kind(came), name_lack(came, topic.modality)),
        choices=_KINDS,
    )
    if rng.random() < 0.8:
        return (Turn(media=(medium,), question=refused),)
    return _ask_about(medium, rng), Turn(question=refused)


def draw_outside(rng: np.random.Generator, split: Split, shown: Sequence[Topic] = _TOPICS) -> Talk:
    """A question about the rest of the world: alone, with a medium or about it, or after one."""
    kind = rng.random()
    if kind < 0.45:
        return (Turn(question=_outside_question(rng, split, None)),)
    medium = _draw_medium(rng, shown)
    about_it = bool(rng.random() < 0.6)
    question = _outside_question(rng, split, medium.topic.modality, about_it=about_it)
    if kind < 0.85:
        return (Turn(media=(medium,), question=question),)
    return _ask_about(medium, rng), Turn(question=question)


def draw_near_miss(
    rng: np.random.Generator, split: Split, shown: Sequence[Topic] = _TOPICS
) -> Talk:
    """A conversation that looks like a refused one, whose last question has to be answered."""
    kind = rng.random()
    if kind < 0.2:
        pair, question = _draw_comparison(rng, shown)
        hidden = [i for i in range(2) if pair.media[i].topic not in shown]
        told = tuple(hidden) or (int(rng.integers(2)),)
        return (Turn(media=pair.media, question=question, told=told),)
    medium = _draw_medium(rng, shown)
    asked = _ask_about(medium, rng)
    if kind < 0.3:
        return (replace(asked, told=(0,)),)
    if kind < 0.55:
        return asked, Turn(question=medium.topic.ask(medium.facts, rng))
    if kind < 0.7:
        question = medium.topic.ask(medium.facts, rng)
        return _absent_turn(question, {medium.topic.modality}), asked
    if kind < 0.85:
        modality = medium.topic.modality
        refused = _outside_question(rng, split, modality, about_it=bool(rng.random() < 0.6))
        return Turn(media=(medium,), question=refused), replace(asked, media=())
    pair = pairs.draw_either(rng, tuple(shown))
    return (Turn(media=pair.media, question=pair.ask(rng)),)


# Each with its share among all that has to do with refusals.
_DRAWS: tuple[tuple[float, Callable[[np.random.Generator, Split], Talk]], ...] = (
    (0.3, lambda rng, split: draw_absent(rng)),
    (0.25, lambda rng, split: draw_other_kind(rng)),
    (0.3, draw_outside),
    (0.15, draw_near_miss),
)


def draw_refused_or_near(rng: np.random.Generator, split: Split) -> Talk:
    """Any of these conversations, its media among all topics."""
    shares = [share for share, _ in _DRAWS]
    return _DRAWS[int(rng.choice(len(_DRAWS), p=shares))][1](rng, split)


def _draw_medium(rng: np.random.Generator, shown: Sequence[Topic]) -> Medium:
    topic = shown[int(rng.integers(len(shown)))]
    return Medium(topic=topic, facts=topic.draw(rng))


def _ask_about(medium: Medium, rng: np.random.Generator) -> Turn:
    return Turn(media=(medium,), question=medium.topic.ask(medium.facts, rng))


def _draw_question(rng: np.random.Generator, *, came: Sequence[str]) -> tuple[Topic, Question]:
    """A question about a kind of medium that did not come, and that none that came could answer."""
    while True:
        topic = _TOPICS[int(rng.integers(len(_TOPICS)))]
        if topic.modality in came:
            continue
        question = topic.ask(topic.draw(rng), rng)
        # Pictures and clips share the question for a colour; by itself it goes for a picture.
        if question.task != "clip colour" and not any(
            could_be_about(question.text, topic.modality, one) for one in came
        ):
            return topic, question


def could_be_about(text: str, asked: str, came: str) -> bool:
    """Whether a question about one kind of medium might as well be about another that came."""
    pattern = _COULD_BE_ABOUT.get((asked, came))
    return pattern is not None and re.search(pattern, text.lower()) is not None


def _draw_comparison(rng: np.random.Generator, shown: Sequence[Topic]) -> tuple[Pair, Question]:
    """Two media, at least one of which can be shown, and a question that names both."""
    while True:
        pair = pairs.draw_comparison(rng) if rng.random() < 0.5 else _draw_sign_and_speech(rng)
        question = pair.ask(rng)
        # "Which is larger?" says of what only with both.
        is_bare = question.task == labels.LARGER and "digit" not in question.text
        if not is_bare and any(medium.topic in shown for medium in pair.media):
            return pair, question


def _draw_sign_and_speech(rng: np.random.Generator) -> Pair:
    """A hand sign and a spoken digit, with questions about both alone."""
    facts = labels.draw_sign_and_speech(rng)
    media = tuple(
        Medium(topic=topic, facts=label)
        for topic, label in zip((topics.SIGN, topics.SPEECH), facts, strict=True)
    )
    ask_about = labels.ask_match if rng.random() < 0.5 else labels.ask_larger
    return Pair(media=(media[0], media[1]), ask=partial(ask_about, facts))


def _absent_turn(question: Question, missing: set[str], *came: Medium) -> Turn:
    """The question as it is refused because of what is missing."""
    refused = replace(
        question,
        answer=say_absent(missing),
        task="refused absent",
        expected=(name_absent(missing),),
        choices=_ABSENT,
    )
    return Turn(media=came, question=refused)


def _outside_question(
    rng: np.random.Generator, split: Split, modality: str | None, **about: Any
) -> Question:
    text = draw_outside_text(rng, split, modality, **about)
    return ask(rng, (text,), OUTSIDE, task="refused outside", expected="I only know", choices=MARKS)
