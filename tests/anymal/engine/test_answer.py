"""One prompt to the events of its answer."""

from typing import Any

import pytest

from anymal.engine.answer import answer
from anymal.engine.events import Event, Finished, TextDelta
from anymal.engine.prompt import EmbeddingSegment, Prompt, TokenSegment
from anymal.engine.sampling import Sampling
from anymal.errors import EngineError, TooLong


def say(text: str) -> Prompt:
    """A prompt that the decoder says back, and a picture of six positions."""
    picture: Any = range(6)
    words = TokenSegment(ids=tuple(text.encode()))
    return Prompt(segments=(words, EmbeddingSegment(embeddings=picture, digest="0", kind="image")))


def run(decoder: Any, text: str, **options: Any) -> tuple[str, Finished]:
    events: list[Event] = list(answer(decoder, say(text), Sampling(**options)))
    *deltas, last = events
    assert isinstance(last, Finished)
    assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), last


def test_answer_ends_where_the_model_ends_it(decoder: Any) -> None:
    text, last = run(decoder, "It is a d\xf6g.")
    assert (text, last.reason) == ("It is a d\xf6g.", "stop")
    assert last.counts.prompt == 19
    assert last.counts.completion == 13
    assert last.counts.by_kind == {"text": 13, "image": 6}


def test_answer_is_cut_at_the_limit(decoder: Any) -> None:
    text, last = run(decoder, "It is a dog.", max_tokens=5)
    assert (text, last.reason, last.counts.completion) == ("It is", "length", 5)


def test_limit_is_what_fits_behind_the_prompt(decoder: Any) -> None:
    decoder.context = 22
    text, last = run(decoder, "It is a dog.", max_tokens=100)
    assert (text, last.reason) == ("It i", "length")
    assert decoder.last_sampling.max_tokens == 4


def test_prompt_that_fills_the_context_is_refused(decoder: Any) -> None:
    decoder.context = 18
    with pytest.raises(TooLong, match="18 tokens"):
        run(decoder, "It is a dog.")


def test_white_space_of_the_template_is_left_out(decoder: Any) -> None:
    text, last = run(decoder, " two  words \n")
    assert (text, last.reason) == ("two  words", "stop")


def test_stop_string_ends_the_work(decoder: Any) -> None:
    text, last = run(decoder, "one two three four", stop=("thr",))
    assert (text, last.reason) == ("one two ", "stop")
    assert decoder.num_steps == len("one two thr")
    assert decoder.num_closed == 1


def test_held_back_text_is_given_out_at_the_end(decoder: Any) -> None:
    assert run(decoder, "one tw", stop=("two",))[0] == "one tw"


def test_cancelled_answer_ends_within_a_step(decoder: Any) -> None:
    events = answer(decoder, say("one two"), Sampling(), lambda: decoder.num_steps > 3)
    assert len(list(events)) == 3
    assert decoder.num_steps == 4
    assert decoder.num_closed == 1


def test_closing_the_events_closes_the_decoder(decoder: Any) -> None:
    events: Any = answer(decoder, say("one two"), Sampling())
    next(events)
    events.close()
    assert decoder.num_closed == 1


@pytest.mark.parametrize(
    "options", [{"max_tokens": 0}, {"temperature": 3}, {"top_p": 0}, {"stop": ("",)}]
)
def test_sampling_refuses(options: Any) -> None:
    with pytest.raises(EngineError, match=next(iter(options))):
        Sampling(**options)
