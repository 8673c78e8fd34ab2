"""Generated records for training and evaluation: the data sources of the playground.

Each source is a lazy sequence: record i is drawn and rendered when it is asked for, from a seed
that depends on the split, so that training and held-out records never share one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from anymal.errors import DataError
from anymal.playground import topics
from anymal.playground.pairs import Pair, draw_comparison, draw_either
from anymal.playground.question import Question
from anymal.playground.topics import Part, Topic

Split = Literal["train", "heldout"]
Style = Literal["caption", "question"]
Record = dict[str, Any]
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
    """

    name: str
    split: Split
    seed: int
    size: int
    make: Callable[[np.random.Generator, str], Record]

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


def to_record(parts: Sequence[Part], question: Question, name: str) -> Record:
    """A conversation of one question about some media, and its answer."""
    content = [*parts, {"type": "text", "text": question.text}]
    return {
        "id": name,
        "messages": [
            {"role": "user", "content": content},
            {"role": "assistant", "content": question.answer},
        ],
        "meta": question.meta(),
    }


def scenes(*, split: Split, size: int, seed: int = 0, style: Style = "question") -> LazyRecords:
    """Pictures of coloured shapes."""
    return _of_topic(topics.SCENE, split, size, seed, style)


def lone_shapes(
    *, split: Split, size: int, seed: int = 0, style: Style = "question"
) -> LazyRecords:
    """Pictures of one coloured shape, the quickest to learn."""
    return _of_topic(topics.LONE_SHAPE, split, size, seed, style)


def clips(*, split: Split, size: int, seed: int = 0, style: Style = "question") -> LazyRecords:
    """Films of moving, changing and appearing shapes."""
    return _of_topic(topics.CLIP, split, size, seed, style)


def sounds(*, split: Split, size: int, seed: int = 0, style: Style = "question") -> LazyRecords:
    """Tones, beeps and noise."""
    return _of_topic(topics.SOUND, split, size, seed, style)


def motions(*, split: Split, size: int, seed: int = 0, style: Style = "question") -> LazyRecords:
    """Simulated phone motion."""
    return _of_topic(topics.MOTION, split, size, seed, style)


def mixed(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """Two generated media and a question that needs both."""
    return _of_pairs("mixed", draw_comparison, split, size, seed)


def either(*, split: Split, size: int, seed: int = 0) -> LazyRecords:
    """Two generated media and a question about one of them."""
    return _of_pairs("either", lambda rng: draw_either(rng, topics.PLAYGROUND), split, size, seed)


def _of_topic(topic: Topic, split: Split, size: int, seed: int, style: Style) -> LazyRecords:
    """Records of one topic, one question each."""
    questions = {"caption": topic.caption, "question": topic.ask}
    if style not in questions:
        raise DataError(f"unknown style '{style}'; known: {', '.join(questions)}")
    ask = questions[style] or topic.ask

    def make(rng: np.random.Generator, name: str) -> Record:
        facts = topic.draw(rng)
        return to_record([render(topic, facts, rng)], ask(facts, rng), name)

    return LazyRecords(name=topic.name, split=split, seed=seed, size=size, make=make)


def _of_pairs(
    name: str,
    draw: Callable[[np.random.Generator], Pair],
    split: Split,
    size: int,
    seed: int,
) -> LazyRecords:
    """Records of two media."""

    def make(rng: np.random.Generator, record_name: str) -> Record:
        pair = draw(rng)
        parts = [render(medium.topic, medium.facts, rng) for medium in pair.media]
        return to_record(parts, pair.question, record_name)

    return LazyRecords(name=name, split=split, seed=seed, size=size, make=make)


def render(topic: Topic, facts: Any, rng: np.random.Generator) -> Part:
    """The file of a generated medium, as a message part."""
    assert topic.render is not None, f"topic {topic.name} is recorded, not generated"
    return topic.render(facts, rng)
