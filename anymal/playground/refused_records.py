"""Records of refusals and of what comes near to them: the conversations of `refused.py` with files.

Without a folder of recordings only generated media are shown; questions are about all kinds.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from anymal.playground import pairs, recorded
from anymal.playground.pairs import Medium
from anymal.playground.refusals import MARKS
from anymal.playground.refused import (
    Talk,
    Turn,
    draw_absent,
    draw_near_miss,
    draw_other_kind,
    draw_outside,
)
from anymal.playground.sources import (
    LICENCE,
    LazyRecords,
    Record,
    Split,
    render,
    to_record,
    told_part,
)
from anymal.playground.topics import PLAYGROUND, RECORDED, Part, Topic

_Draw = Callable[[np.random.Generator, Sequence[Topic]], Talk]
_NEAR, _COMPARED = 0.3, 0.2  # shares of what must not be refused; the rest are lone questions


def refused_absent(*, split: Split, size: int, seed: int = 0, data: str = "") -> LazyRecords:
    """Questions about a medium that did not come, alone or with others."""
    return _of_talks("refused absent", draw_absent, split, size, seed, data)


def refused_kind(*, split: Split, size: int, seed: int = 0, data: str = "") -> LazyRecords:
    """Questions about another kind of medium than the one that came."""
    return _of_talks("refused kind", draw_other_kind, split, size, seed, data)


def refused_outside(*, split: Split, size: int, seed: int = 0, data: str = "") -> LazyRecords:
    """Questions about anything but the playground, with a medium and without."""

    def draw(rng: np.random.Generator, shown: Sequence[Topic]) -> Talk:
        return draw_outside(rng, split, shown)

    return _of_talks("refused outside", draw, split, size, seed, data)


def near_misses(*, split: Split, size: int, seed: int = 0, data: str = "") -> LazyRecords:
    """Conversations that look like refused ones and have to be answered."""

    def draw(rng: np.random.Generator, shown: Sequence[Topic]) -> Talk:
        return draw_near_miss(rng, split, shown)

    return _of_talks("near misses", draw, split, size, seed, data)


def false_refusals(*, split: Split, size: int, seed: int = 0, data: str = "") -> LazyRecords:
    """Questions of every kind that have to be answered, to count how many are refused.

    What `meta` expects is an answer, whichever it is.
    """

    def draw(rng: np.random.Generator, shown: Sequence[Topic]) -> Talk:
        kind = rng.random()
        if kind < _NEAR:
            return draw_near_miss(rng, split, shown)
        if kind < _NEAR + _COMPARED:
            pair = pairs.draw_comparison(rng)
            return (Turn(media=pair.media, question=pair.ask(rng)),)
        topic = shown[int(rng.integers(len(shown)))]
        facts = topic.draw(rng)
        return (Turn(media=(Medium(topic=topic, facts=facts),), question=topic.ask(facts, rng)),)

    made = _of_talks("false refusals", draw, split, size, seed, data)
    return LazyRecords(
        name=made.name,
        split=split,
        seed=seed,
        size=size,
        make=lambda rng, name: made.make(rng, name) | {"meta": _ANY_ANSWER},
        licence=made.licence,
    )


_ANY_ANSWER = {"task": "false refusals", "all_of": list(MARKS), "score": "avoids"}


def _of_talks(name: str, draw: _Draw, split: Split, size: int, seed: int, data: str) -> LazyRecords:
    """Records of conversations, scored by their last question."""
    show: dict[str, recorded.Renderer] = {
        topic.name: partial(render, topic) for topic in PLAYGROUND
    }
    shown: tuple[Topic, ...] = PLAYGROUND
    licence = LICENCE
    if data:
        show |= recorded.renderers(data, split)
        shown, licence = PLAYGROUND + RECORDED, f"{licence} AND {recorded.ALL_LICENCES}"

    def part_of(turn: Turn, place: int, rng: np.random.Generator) -> Part:
        medium = turn.media[place]
        if place in turn.told:
            return told_part(medium.topic, medium.facts)
        return show[medium.topic.name](medium.facts, rng)

    def make(rng: np.random.Generator, record_name: str) -> Record:
        talk = draw(rng, shown)
        records = []
        for turn in talk:
            parts = [part_of(turn, place, rng) for place in range(len(turn.media))]
            records.append(to_record(parts, [turn.question], record_name))
        messages = [message for record in records for message in record["messages"]]
        return records[-1] | {"messages": messages}

    return LazyRecords(name=name, split=split, seed=seed, size=size, make=make, licence=licence)
