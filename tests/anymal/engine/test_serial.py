"""The queue, the thread, and giving up; no test waits for time to pass."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from anymal.engine.base import EngineBusy, EngineClosed
from anymal.engine.events import Event, Failed, Finished, TextDelta
from anymal.engine.prompt import EmbeddingSegment, Prompt, TokenSegment
from anymal.engine.sampling import Sampling
from anymal.engine.serial import SerialEngine
from anymal.errors import TooLong


def say(text: str) -> Prompt:
    """A prompt that the decoder says back, and a picture of six positions."""
    picture: Any = range(6)
    words = TokenSegment(ids=tuple(text.encode()))
    return Prompt(segments=(words, EmbeddingSegment(embeddings=picture, digest="0", kind="image")))


@pytest.fixture
def engine(decoder: Any) -> Iterator[SerialEngine]:
    engine = SerialEngine(decoder, max_waiting=2)
    yield engine
    decoder.is_held = False
    decoder.steps.release(1000)
    engine.close()


def start(engine: SerialEngine, text: str) -> tuple[Any, "queue.SimpleQueue[Event]"]:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    return engine.start(say(text), Sampling(), events.put), events


def text_of(events: Any) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_requests_are_answered_in_order(engine: SerialEngine) -> None:
    streams = [engine.submit(say(text), Sampling()) for text in ("one", "two")]
    assert [text_of(stream) for stream in streams] == ["one", "two"]


def test_full_queue_refuses_and_a_cancelled_request_makes_room(
    engine: SerialEngine, decoder: Any
) -> None:
    decoder.is_held = True
    _, first = start(engine, "a" * 50)
    decoder.steps.release()
    first.get(timeout=10)  # it runs, so that two may wait behind it
    tickets = [start(engine, "waits")[0] for _ in range(2)]
    with pytest.raises(EngineBusy, match="2 requests wait"):
        start(engine, "too many")
    tickets[0].cancel()
    start(engine, "fits again")


def test_cancelled_request_ends_within_a_step(engine: SerialEngine, decoder: Any) -> None:
    decoder.is_held = True
    ticket, events = start(engine, "abcdef")
    decoder.steps.release()
    assert events.get(timeout=10) == TextDelta(text="a")
    ticket.cancel()
    decoder.steps.release()
    decoder.is_held = False
    assert text_of(engine.submit(say("next"), Sampling())) == "next"
    assert events.empty()
    assert decoder.num_steps == 2 + len("next")


def test_closing_a_stream_cancels_and_wakes_its_reader(engine: SerialEngine, decoder: Any) -> None:
    decoder.is_held = True
    stream: Any = engine.submit(say("abc"), Sampling())
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


def test_failure_reaches_its_own_request_only(
    engine: SerialEngine, decoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    decoder.breaks_at = 2
    stream = engine.submit(say("abcdef"), Sampling())
    assert [next(stream), next(stream)] == [TextDelta(text="a"), TextDelta(text="b")]
    with pytest.raises(RuntimeError, match="out of luck"):
        next(stream)
    assert "an answer failed" in caplog.text
    decoder.breaks_at = None
    assert text_of(engine.submit(say("fine"), Sampling())) == "fine"


def test_a_users_mistake_is_not_logged(
    engine: SerialEngine, decoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    decoder.context = 0
    _, events = start(engine, "abc")
    event = events.get(timeout=10)
    assert isinstance(event, Failed)
    assert isinstance(event.error, TooLong)
    assert caplog.text == ""


def test_close_fails_what_waits_and_what_runs(decoder: Any) -> None:
    decoder.is_held = True
    engine = SerialEngine(decoder)
    _, running = start(engine, "abc")
    decoder.steps.release()
    running.get(timeout=10)
    _, waiting = start(engine, "def")
    closer = threading.Thread(target=engine.close)
    closer.start()
    for events in (waiting, running):
        event = events.get(timeout=10)
        assert isinstance(event, Failed)
        assert isinstance(event.error, EngineClosed)
    decoder.steps.release()
    closer.join(timeout=10)
    assert not closer.is_alive()
    with pytest.raises(EngineClosed):
        start(engine, "late")


def test_last_event_is_finished(engine: SerialEngine) -> None:
    *_, last = engine.submit(say("abc"), Sampling())
    assert isinstance(last, Finished)
    assert last.counts.completion == 3
