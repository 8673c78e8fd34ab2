"""Generated records for training and evaluation: the data sources of the playground.

Each source is a lazy sequence: record i is drawn and rendered when it is asked for, from a seed
that depends on the split, so that training and held-out records never share one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import numpy as np

from anymal.errors import DataError
from anymal.playground import topics
from anymal.playground.pairs import Pair, draw_comparison, draw_either, draw_shapes_and_beeps
from anymal.playground.question import Question
from anymal.playground.topics import Part, Topic

Split = Literal["train", "heldout"]
Style = Literal["caption", "question", "told"]
Record = dict[str, Any]
LICENCE = "Apache-2.0"  # of what is generated
_SPLITS = {"train": 0, "heldout": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyRecords(Sequence[Record]):
    """Records made on demand.

    Attributes:
        name: Start of every record's id.
        split: Part of every seed.
        seed: Part of every seed.
        size: Number of records.
        make: A generator of random numbers and an id to a record.
        licence: SPDX names; they go into bundles that are trained on the records.
    """

    name: str
    split: Split
    seed: int
    size: int
    make: Callable[[np.random.Generator, str], Record]
    licence: str = LICENCE

    def __post_init__(self) -> None:
        """Refuses an unknown split."""
        if self.split not in _SPLITS:
            raise DataError(f"unknown split '{self.split}'; known: {', '.join(_SPLITS)}")

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        if not -self.size <= index < self.size:
            raise IndexError(f"record {index} of {self.size}")
        index %= self.size
        # The name keeps two sources of one seed apart.
        key = [_SPLITS[self.split], self.seed, index, *self.name.encode()]
        return self.make(np.random.default_rng(key), f"{self.name}-{self.split}-{index}")

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(self.size))


def to_record(
    parts: Sequence[Part],
    questions: Sequence[Question],
    name: str,
    *,
    enough: Sequence[Sequence[str]] = (),
) -> Record:
    """A conversation about some media, shown with the first question; scored by that one.

    With `enough`, its `meta` says which modalities are enough to answer.
    """
    messages: list[Record] = []
    for question in questions:
        messages.append({"role": "user", "content": question.text})
        messages.append({"role": "assistant", "content": question.answer})
    messages[0]["content"] = [*parts, {"type": "text", "text": questions[0].text}]
    meta = questions[0].meta() | ({"enough": [list(each) for each in enough]} if enough else {})
    return {"id": name, "messages": messages, "meta": meta}


def scenes(
    *, split: Split, size: int, seed: int = 0, style: Style = "question", questions: int = 1
) -> LazyRecords:
    """Pictures of coloured shapes."""
    return _of_topic(topics.SCENE, split, size, seed, style, questions)


def lone_shapes(
    *, split: Split, size: int, seed: int = 0, style: Style = "question"
) -> LazyRecords:
    """Pictures of one coloured shape, the quickest to learn."""
    return _of_topic(topics.LONE_SHAPE, split, size, seed, style)


def several_shapes(
    *, split: Split, size: int, seed: int = 0, style: Style = "question", questions: int = 1
) -> LazyRecords:
    """Pictures of two or three different shapes, which take longest to learn to tell apart."""
    return _of_topic(topics.SEVERAL_SHAPES, split, size, seed, style, questions)


def clips(
    *, split: Split, size: int, seed: int = 0, style: Style = "question", questions: int = 1
) -> LazyRecords:
    """Films of moving, changing and appearing shapes."""
    return _of_topic(topics.CLIP, split, size, seed, style, questions)


def shapes_in_turn(
    *, split: Split, size: int, seed: int = 0, style: Style = "question", questions: int = 1
) -> LazyRecords:
    """Films of shapes that appear one after another, which take longest of `clips` to learn."""
    return _of_topic(topics.SHAPES_IN_TURN, split, size, seed, style, questions)


def sounds(*, split: Split, size: int, seed: int = 0, style: Style = "question") -> LazyRecords:
    """Tones, beeps and noise."""
    return _of_topic(topics.SOUND, split, size, seed, style)


def motions(*, split: Split, size: int, seed: int = 0, style: Style = "question") -> LazyRecords:
    """Simulated phone motion."""
    return _of_topic(topics.MOTION, split, size, seed, style)


def mixed(*, split: Split, size: int, seed: int = 0, shown: str | None = None) -> LazyRecords:
    """Two generated media and a question that needs both.

    With `shown`, only the medium of that modality is there; words describe the other.
    """
    check_shown(shown, topics.PREFIXES)

    def draw(rng: np.random.Generator) -> Pair:
        while True:
            pair = draw_comparison(rng)
            if shown is None or any(medium.topic.modality == shown for medium in pair.media):
                return pair

    return _of_pairs("mixed", draw, split, size, seed, shown)


def shapes_and_beeps(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """Pictures and sounds whose counts are compared, which takes longest of `mixed` to learn."""
    return _of_pairs("shapes and beeps", draw_shapes_and_beeps, split, size, seed)


def either(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """Two generated media and a question about one of them."""
    return _of_pairs("either", lambda rng: draw_either(rng, topics.PLAYGROUND), split, size, seed)


def later_turns(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """A question about one generated medium, and in the next turn another medium, asked about.

    Half of the time both are of one kind. Scored by the answer about the second.
    """

    def make(rng: np.random.Generator, name: str) -> Record:
        first = topics.PLAYGROUND[int(rng.integers(len(topics.PLAYGROUND)))]
        other = topics.PLAYGROUND[int(rng.integers(len(topics.PLAYGROUND)))]
        second = first if rng.random() < 0.5 else other
        earlier, later = (_about_one(topic, rng, topic.ask, name) for topic in (first, second))
        return later | {"messages": earlier["messages"] + later["messages"]}

    return LazyRecords(name="later turns", split=split, seed=seed, size=size, make=make)


def _of_topic(
    topic: Topic, split: Split, size: int, seed: int, style: Style, questions: int = 1
) -> LazyRecords:
    """Records of one topic, each with so many questions about one medium."""
    ask = asking(topic, style)
    if questions < 1:
        raise DataError(f"questions={questions}, but a conversation has at least one")

    def make(rng: np.random.Generator, name: str) -> Record:
        return _about_one(topic, rng, ask, name, questions)

    return LazyRecords(name=topic.name, split=split, seed=seed, size=size, make=make)


def _about_one(
    topic: Topic,
    rng: np.random.Generator,
    ask: Callable[[Any, np.random.Generator], Question],
    name: str,
    questions: int = 1,
) -> Record:
    """One medium and so many questions about it."""
    facts = topic.draw(rng)
    part = render(topic, facts, rng)
    return to_record([part], [ask(facts, rng) for _ in range(questions)], name)


def _of_pairs(
    name: str,
    draw: Callable[[np.random.Generator], Pair],
    split: Split,
    size: int,
    seed: int,
    shown: str | None = None,
) -> LazyRecords:
    """Records of two media, or of one and the other in words."""

    def make(rng: np.random.Generator, record_name: str) -> Record:
        pair = draw(rng)
        parts = [
            render(one.topic, one.facts, rng)
            if shown in (None, one.topic.modality)
            else told_part(one.topic, one.facts)
            for one in pair.media
        ]
        return to_record(parts, [pair.ask(rng)], record_name, enough=pair.enough)

    return LazyRecords(name=name, split=split, seed=seed, size=size, make=make)


def render(topic: Topic, facts: Any, rng: np.random.Generator) -> Part:
    """The file of a generated medium, as a message part."""
    assert topic.render is not None, f"topic {topic.name} is recorded, not generated"
    return topic.render(facts, rng)


def check_shown(shown: str | None, modalities: Iterable[str]) -> None:
    """Refuse to show what a source does not have."""
    if shown is not None and shown not in modalities:
        raise DataError(f"unknown shown={shown!r}; known: {', '.join(modalities)}")


def told_part(topic: Topic, facts: Any) -> Part:
    """The description of a medium, as a message part in its place."""
    return {"type": "text", "text": topics.tell(topic, facts)}


def asking(topic: Topic, style: Style) -> Callable[[Any, np.random.Generator], Question]:
    """Facts to a question in one style; `told` is answered by the description alone."""
    caption = topic.caption or topic.ask
    styles = {
        "caption": caption,
        "question": topic.ask,
        "told": lambda facts, rng: replace(caption(facts, rng), answer=topic.describe(facts)),
    }
    if style not in styles:
        raise DataError(f"unknown style '{style}'; known: {', '.join(styles)}")
    return styles[style]
