"""The queue, the thread, joining, leaving and failing; no test waits for time to pass."""

import dataclasses
import queue
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from anymal.engine.base import EngineBusy, EngineClosed
from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, Failed, Finished, TextDelta
from anymal.engine.prompt import Owner, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.engine.stats import Step
from anymal.errors import EngineError, TooLong

Say = Callable[[str], Prompt]


@pytest.fixture
def steps() -> list[Step]:
    return []


@pytest.fixture
def engine(byte_runner: Any, steps: list[Step]) -> Iterator[BatchingEngine]:
    engine = BatchingEngine(byte_runner, max_waiting=2, on_step=steps.append)
    yield engine
    byte_runner.let_go()
    engine.close()


def start(
    engine: BatchingEngine, prompt: Prompt, **options: Any
) -> "tuple[Any, queue.SimpleQueue[Event]]":
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    return engine.start(prompt, Sampling(**options), events.put), events


def text_of(events: Any) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_requests_join_while_others_run(
    engine: BatchingEngine, byte_runner: Any, say: Say, steps: list[Step]
) -> None:
    byte_runner.hold()
    first = engine.submit(say("abcdef"), Sampling())
    byte_runner.let(2)
    assert text_of([next(first), next(first)]) == "ab"
    second = engine.submit(say("xy"), Sampling())
    byte_runner.let_go()
    assert (text_of(first), text_of(second)) == ("cdef", "xy")
    assert max(byte_runner.batches) == 2
    assert {step.num_sequences for step in steps} >= {1, 2}
    stats = engine.stats()
    assert stats.steps == len(byte_runner.batches)
    assert stats.batch_tokens == sum(step.num_tokens for step in steps)
    assert (stats.running, stats.waiting) == (0, 0)


def test_last_event_counts(engine: BatchingEngine, say: Say) -> None:
    *_, last = engine.submit(say("abc"), Sampling())
    assert isinstance(last, Finished)
    assert last.counts.by_kind == {"text": 3, "imu": 6}
    assert (last.counts.prompt, last.counts.completion, last.counts.cached) == (9, 3, 0)


def test_an_answer_that_repeats_itself_makes_room(engine: BatchingEngine, say: Say) -> None:
    piece, end = "12345678", " and so on"
    for times, expected in ((2, "stop"), (3, "repetition")):
        events = list(engine.submit(say(piece * times + end), Sampling(stop_repetition=True)))
        assert isinstance(events[-1], Finished)
        assert events[-1].reason == expected
        assert text_of(events) == piece * times + (end if times == 2 else "")
    assert engine.stats().running == 0


def test_prompt_that_was_there_before_is_cached(engine: BatchingEngine, say: Say) -> None:
    prompt = say("a" * 40)
    for cached in (0, 32):
        *_, last = engine.submit(prompt, Sampling(max_tokens=2))
        assert isinstance(last, Finished)
        assert last.counts.cached == cached
    stats = engine.stats()
    assert (stats.prefix_tokens_queried, stats.prefix_tokens_hit) == (92, 32)
    assert 0 < stats.cache_bytes_used < stats.cache_bytes_total == 199 * 100


def test_prompt_of_another_scope_is_never_found(engine: BatchingEngine, say: Say) -> None:
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefgh", k=32)) for _ in range(200)]

    def cached(word: str, scope: str) -> int:
        prompt = dataclasses.replace(say(word), owner=Owner(scope=scope))
        *_, last = engine.submit(prompt, Sampling(max_tokens=1))
        assert isinstance(last, Finished)
        return last.counts.cached

    assert [cached(words[77], "ada") for _ in range(2)] == [0, 32]
    assert {cached(word, "bob") for word in words} == {0}


def test_full_queue_refuses_and_a_cancelled_request_makes_room(
    engine: BatchingEngine, byte_runner: Any, say: Say
) -> None:
    byte_runner.hold()
    tickets: list[Any] = []

    def fill() -> None:
        for _ in range(10):  # some may join the held step before it begins
            tickets.append(start(engine, say("a" * 50))[0])

    with pytest.raises(EngineBusy, match="2 requests are waiting, and the limit is 2"):
        fill()
    tickets[-1].cancel()
    start(engine, say("fits again"))


def test_cancelled_request_ends_within_a_step(
    engine: BatchingEngine, byte_runner: Any, say: Say
) -> None:
    byte_runner.hold()
    ticket, events = start(engine, say("abcdef"))
    byte_runner.let(1)
    assert events.get(timeout=10) == TextDelta(text="a")
    ticket.cancel()
    byte_runner.let_go()
    assert text_of(engine.submit(say("next"), Sampling())) == "next"
    assert events.empty()
    assert byte_runner.said[0] in ("a", "ab")
    assert engine.stats().running == 0


def test_closing_a_stream_cancels_and_wakes_its_reader(
    engine: BatchingEngine, byte_runner: Any, say: Say
) -> None:
    byte_runner.hold()
    stream = engine.submit(say("abc"), Sampling())
    found = []

    def read() -> None:
        with pytest.raises(EngineClosed):
            next(stream)
        found.append(True)

    reader = threading.Thread(target=read)
    reader.start()
    stream.close()
    reader.join(timeout=10)
    assert found == [True]


def test_failure_of_one_answer_leaves_the_others(
    engine: BatchingEngine, byte_runner: Any, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    byte_runner.breaks_answer_at = "#"
    byte_runner.hold()
    broken, whole = start(engine, say("ab#"))[1], start(engine, say("abcd"))[1]
    byte_runner.let_go()
    events = [broken.get(timeout=10) for _ in range(3)]
    assert text_of(events) == "ab"
    assert isinstance(events[-1], Failed)
    assert "out of luck alone" in caplog.text
    assert text_of(whole.get(timeout=10) for _ in range(5)) == "abcd"
    assert byte_runner.scrubbed, "what a failed request computed must not be found again"


def test_failure_of_a_step_fails_its_requests_and_the_engine_goes_on(
    engine: BatchingEngine, byte_runner: Any, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    byte_runner.breaks_step_at = "#"
    stream = engine.submit(say("a#"), Sampling())
    assert next(stream) == TextDelta(text="a")
    with pytest.raises(RuntimeError, match="out of luck"):
        next(stream)
    assert "a step of 1 requests failed" in caplog.text
    assert text_of(engine.submit(say("fine"), Sampling())) == "fine"
    assert engine.stats().running == 0


def test_mistake_of_the_engine_itself_fails_all_and_it_starts_afresh(
    engine: BatchingEngine,
    byte_runner: Any,
    say: Say,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine._scheduler, "plan", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            next(engine.submit(say("abc"), Sampling()))
    assert "starts again without its requests" in caplog.text
    assert text_of(engine.submit(say("fine"), Sampling())) == "fine"


def test_listener_that_breaks_harms_nobody_else(
    engine: BatchingEngine, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(event: Event) -> None:
        raise RuntimeError("not now")

    engine.start(say("abc"), Sampling(), refuse)
    assert text_of(engine.submit(say("fine"), Sampling())) == "fine"
    assert "a listener failed on an event" in caplog.text


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [("a" * 2000, TooLong, "2006 tokens"), ("\u0100", TooLong, "no byte")],
)
def test_prompt_that_cannot_be_answered_is_refused_and_not_logged(
    engine: BatchingEngine,
    say: Say,
    caplog: pytest.LogCaptureFixture,
    text: str,
    kind: type[Exception],
    match: str,
) -> None:
    prompt = say(text)
    if match == "no byte":
        prompt = Prompt(spans=(TokenSpan(ids=(256,)),))
    with pytest.raises(kind, match=match):
        next(engine.submit(prompt, Sampling()))
    assert caplog.text == ""


def test_empty_prompt_is_refused(engine: BatchingEngine) -> None:
    with pytest.raises(EngineError, match="empty"):
        next(engine.submit(Prompt(spans=(TokenSpan(ids=()),)), Sampling()))


def test_answer_is_cut_where_the_context_ends(byte_runner: Any, say: Say) -> None:
    byte_runner.context = 30
    engine = BatchingEngine(byte_runner)
    *_, last = events = list(engine.submit(say("x" * 20), Sampling()))
    assert isinstance(last, Finished)
    assert (text_of(events), last.reason) == ("xxxx", "length")
    engine.close()


def test_close_fails_what_waits_and_what_runs(byte_runner: Any, say: Say) -> None:
    byte_runner.hold()
    engine = BatchingEngine(byte_runner)
    _, running = start(engine, say("abc"))
    byte_runner.let(1)
    running.get(timeout=10)
    _, waiting = start(engine, say("def"))
    closer = threading.Thread(target=engine.close)
    closer.start()
    byte_runner.let_go()
    closer.join(timeout=10)
    assert not closer.is_alive()
    for events in (waiting, running):
        last = [events.get() for _ in range(events.qsize())][-1]
        assert isinstance(last, Failed)
        assert isinstance(last.error, EngineClosed)
    with pytest.raises(EngineClosed):
        start(engine, say("late"))
