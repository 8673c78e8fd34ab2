"""The same greedy answer alone or in any batch, with or without what others left in the cache.

The oracle is transformers: `generate(inputs_embeds=...)`, one prompt at a time.
"""

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from anymal.engine.base import Ticket
from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, TextDelta
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.sampling import Sampling

Soft = Callable[..., EmbeddingSpan]
LONGEST = 40


@pytest.fixture(scope="module")
def prompts(soft: Soft) -> list[Prompt]:
    """Prompts of all lengths that share beginnings, media, and media at other places."""
    source = random.Random(0)

    def words(number: int) -> TokenSpan:
        return TokenSpan(ids=tuple(source.randrange(61) for _ in range(number)))

    starts: list[tuple[Any, ...]] = [
        (),
        (words(20),),
        (words(3), soft(16, 1)),
        (words(16), soft(8, 2), words(5), soft(24, 1)),
    ]
    made = [
        Prompt(spans=(*start, words(length))) for start in starts for length in (1, 2, 7, 16, 33)
    ]
    return [*made, made[7], Prompt(spans=(soft(32, 3),)), Prompt(spans=(soft(90, 4),))]


@pytest.fixture(scope="module")
def answers(llama: Any, prompts: list[Prompt]) -> list[list[int]]:
    return [llama.expected(prompt, LONGEST) for prompt in prompts]


class _Course:
    """One request, and what it was told."""

    def __init__(self, number: int, limit: int) -> None:
        self.number, self.limit = number, limit
        self.events: list[Event] = []
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self.has_begun.set()
        if not isinstance(event, TextDelta):
            self.has_ended.set()


def run_schedule(
    engine: BatchingEngine, source: random.Random, prompts: Sequence[Prompt]
) -> list[_Course]:
    """One random course of arrivals and cancellations; returns who was answered."""
    courses: dict[_Course, Ticket] = {}
    for _ in range(source.randrange(3, 7)):
        course = _Course(source.randrange(len(prompts)), source.choice([1, 9, LONGEST, LONGEST]))
        sampling = Sampling(max_tokens=course.limit)
        courses[course] = engine.start(prompts[course.number], sampling, course.hear)
        if source.random() < 0.3:
            assert course.has_begun.wait(30)
        if source.random() < 0.15:
            courses.pop(source.choice(list(courses))).cancel()
    assert all(course.has_ended.wait(30) for course in courses)
    return list(courses)


@pytest.mark.parametrize("num_engines", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_random_schedules(
    num_engines: int,
    llama: Any,
    prompts: list[Prompt],
    answers: list[list[int]],
    ids_of: Callable[[Sequence[Event]], list[int]],
) -> None:
    source = random.Random(1)
    assert len({tuple(answer) for answer in answers}) > len(answers) // 2, "answers say too little"
    totals = {"preemptions": 0, "prefix_tokens_hit": 0}
    for _ in range(num_engines):
        # Room for the longest request and hardly more lets requests take each other's blocks.
        runner = llama.runner(cache_bytes=source.choice([10, 10, 12, 200]) * llama.block_bytes)
        engine = llama.engine(
            runner,
            max_running=source.choice([1, 8, 8]),
            step_tokens=source.choice([5, 20, 64, 512]),
            beside_decode=source.choice([3, 16, 64]),
        )
        for _ in range(10):
            for course in run_schedule(engine, source, prompts):
                assert ids_of(course.events) == answers[course.number][: course.limit]
        for name in totals:
            totals[name] += getattr(engine.stats(), name)
        engine.close()  # which begins new totals
        assert (engine.stats().running, engine.stats().waiting) == (0, 0)
    assert totals["preemptions"] > num_engines
    assert totals["prefix_tokens_hit"] > 100 * num_engines
