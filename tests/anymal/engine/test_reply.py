"""Tokens of one answer to its events."""

from collections.abc import Callable
from typing import Any

import pytest

from anymal.engine.events import Event, Finished, TextDelta
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Drawn, Reply
from anymal.engine.sampling import Sampling
from anymal.errors import EngineError

Run = Callable[..., tuple[str, Finished]]


@pytest.fixture
def run(byte_runner: Any, say: Callable[[str], Prompt]) -> Run:
    """Says a text byte by byte, and the end of the answer after it."""

    def answer(text: str, *, limit: int = 100, **options: Any) -> tuple[str, Finished]:
        reply = Reply(byte_runner, say("What?"), Sampling(**options))
        logprob = None if options.get("logprobs") is None else -1.0
        drawn = [Drawn(id=byte, logprob=logprob) for byte in text.encode()]
        events: list[Event] = []
        for token in [*drawn, Drawn(id=0, ends=True)]:
            events += reply.push(token, limit=limit, num_cached=3)
            if events and isinstance(events[-1], Finished):
                break
        *deltas, last = events
        assert isinstance(last, Finished)
        assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
        return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), last

    return answer


def test_answer_ends_where_the_model_ends_it(run: Run) -> None:
    text, last = run("It is a d\xf6g.")
    assert (text, last.reason) == ("It is a d\xf6g.", "stop")
    assert (last.counts.prompt, last.counts.completion, last.counts.cached) == (11, 13, 3)
    assert last.counts.by_kind == {"text": 5, "imu": 6}


def test_answer_is_cut_at_the_limit(run: Run) -> None:
    text, last = run("It is a dog.", limit=5)
    assert (text, last.reason, last.counts.completion) == ("It is", "length", 5)


def test_white_space_of_the_template_is_left_out(run: Run) -> None:
    text, last = run(" two  words \n")
    assert (text, last.reason) == ("two  words", "stop")


def test_stop_string_ends_the_answer(run: Run) -> None:
    text, last = run("one two three four", stop=("thr",))
    assert (text, last.reason) == ("one two ", "stop")
    assert last.counts.completion == len("one two thr")


def test_text_of_the_prompt_format_ends_every_answer(
    byte_runner: Any, say: Callable[[str], Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(byte_runner), "stop", "###")
    reply = Reply(byte_runner, say("What?"), Sampling(stop=("xyz",)))
    events: list[Any] = []
    for byte in b"a dog###":
        events += reply.push(Drawn(id=byte), limit=20, num_cached=0)
    assert "".join(event.text for event in events[:-1]) == "a dog"
    assert events[-1].reason == "stop"


def test_held_back_text_is_given_out_at_the_end(run: Run) -> None:
    assert run("one tw", stop=("two",))[0] == "one tw"


def test_each_token_has_its_logprob_once(byte_runner: Any, say: Callable[[str], Prompt]) -> None:
    reply = Reply(byte_runner, say("What?"), Sampling(logprobs=0, stop=("xyz",)))
    events: list[Any] = []
    for byte in "a\xe9x".encode():
        events += reply.push(Drawn(id=byte, logprob=-1.0), limit=9, num_cached=0)
    events += reply.push(Drawn(id=0, ends=True), limit=9, num_cached=0)
    assert [event.text for event in events[:-1]] == ["a", "\xe9", "x"]
    assert [len(event.logprobs) for event in events] == [1, 2, 1, 0]


def test_logprobs_of_what_a_stop_string_swallowed_come_last(run: Run) -> None:
    text, last = run("one,two", stop=("two",), logprobs=0)
    assert text == "one,"
    assert [each.token for each in last.logprobs] == list("two")


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 0},
        {"temperature": 3},
        {"temperature": 1e-40},
        {"temperature": float("nan")},
        {"top_p": -0.1},
        {"top_k": -1},
        {"repetition_penalty": 1e-40},
        {"presence_penalty": 2.5},
        {"frequency_penalty": -3},
        {"logprobs": 21},
        {"stop": ("",)},
    ],
)
def test_sampling_refuses(options: Any) -> None:
    with pytest.raises(EngineError, match=next(iter(options))):
        Sampling(**options)
