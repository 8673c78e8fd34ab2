"""A streamed answer is the same answer, however its bytes are cut."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymal.client.errors import ServerError
from anymal.client.stream import EventDecoder, ServerEvent, StreamReader

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def event(*choices: dict[str, Any], usage: Any = None) -> str:
    head = {"id": "1", "created": 1, "model": "m", "choices": choices, "usage": usage}
    # Unescaped, as the service writes it: pieces of characters are to be cut too.
    return f"data: {json.dumps(head, ensure_ascii=False)}\n\n"


def token(text: str) -> dict[str, Any]:
    top = [{"token": "x", "bytes": [120], "logprob": -2.0}]
    data = list(text.encode())
    return {"token": text, "bytes": data, "logprob": -0.5, "top_logprobs": top}


STREAM = (
    event({"index": 0, "delta": {"role": "assistant", "content": ""}})
    + ": keep-alive\n\n"
    + event({"delta": {"content": "Gr\xfc"}, "logprobs": {"content": [token("Gr"), token("\xfc")]}})
    + event({"index": 1, "delta": {"content": "another answer"}})
    + event(
        {"delta": {"content": "\xdfe \N{GRINNING FACE}"}, "logprobs": {"content": [token("e")]}}
    )
    + event({"delta": {"refusal": "not so "}}, {"index": 1, "delta": {}, "finish_reason": "stop"})
    + event({"delta": {"refusal": "rude"}, "finish_reason": "content_filter"})
    + event(usage=USAGE)
    + "data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=8), st.booleans())
def test_answer_does_not_depend_on_where_bytes_are_cut(cuts: list[int], is_crlf: bool) -> None:
    data = (STREAM.replace("\n", "\r\n") if is_crlf else STREAM).encode()
    reader = StreamReader("seven")
    edges = itertools.pairwise([0, *sorted(cuts), len(data)])
    pieces = [piece for start, end in edges for piece in reader.push(data[start:end])]
    assert pieces == ["Gr\xfc", "\xdfe \N{GRINNING FACE}"]
    answer = reader.answer()
    assert answer.text == "Gr\xfc\xdfe \N{GRINNING FACE}"
    assert (answer.finish_reason, answer.refusal) == ("content_filter", "not so rude")
    assert [each.token for each in answer.logprobs or ()] == ["Gr", "\xfc", "e"]
    assert (answer.usage.total_tokens, answer.model, answer.request_id) == (8, "m", "seven")


@given(st.integers(0, len(STREAM.encode()) - len(event(usage=USAGE)) - len("data: [DONE]\n\n")))
def test_stream_cut_off_is_no_answer(end: int) -> None:
    reader = StreamReader("seven")
    list(reader.push(STREAM.encode()[:end]))
    with pytest.raises(ServerError, match="broke off") as refused:
        reader.answer()
    assert refused.value.request_id == "seven"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"data: <html>\n\n", "did not answer with a ChatCompletionChunk"),
        (b"data: \xff\n\n", "not UTF-8"),
        (b"event: error\ndata: oops\n\n", "did not answer with a ErrorBody"),
    ],
)
def test_what_is_no_such_stream_is_told(data: bytes, words: str) -> None:
    with pytest.raises(ServerError, match=words) as refused:
        list(StreamReader("seven").push(data))
    assert refused.value.request_id == "seven"


def test_answer_without_extras_has_none() -> None:
    reader = StreamReader("seven")
    list(reader.push(event({"delta": {}, "finish_reason": "stop"}, usage=USAGE).encode()))
    answer = reader.answer()
    assert (answer.text, answer.logprobs, answer.refusal) == ("", None, None)


EVENT_BYTES = (
    ": a comment\n\n"
    'data: {"text": "Gr\xfc\xdfe \N{LINE SEPARATOR} \x0b"}\n\n'
    "event: error\r\ndata: one\r\ndata: two\r\n\r\n"
    "id: 7\ndata:[DONE]\n\n"
).encode()
EVENTS = [
    ServerEvent(name="message", data='{"text": "Gr\xfc\xdfe \N{LINE SEPARATOR} \x0b"}'),
    ServerEvent(name="error", data="one\ntwo"),
    ServerEvent(name="message", data="[DONE]"),
]


@pytest.mark.parametrize("size", [1, 2, 7, 97, 100_000])
def test_events_in_fragments_of_any_size(size: int) -> None:
    decoder = EventDecoder()
    fragments = [EVENT_BYTES[start : start + size] for start in range(0, len(EVENT_BYTES), size)]
    assert [event for fragment in fragments for event in decoder.push(fragment)] == EVENTS


@given(st.lists(st.integers(0, len(EVENT_BYTES)), max_size=6))
def test_events_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(EVENT_BYTES)]
    decoder = EventDecoder()
    fragments = [EVENT_BYTES[start:end] for start, end in itertools.pairwise(edges)]
    assert [event for fragment in fragments for event in decoder.push(fragment)] == EVENTS


def test_unfinished_event_is_not_given_out() -> None:
    assert list(EventDecoder().push(b"data: half\n")) == []
