"""Server-sent events survive any fragmentation."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymal.client.event_stream import EventDecoder, ServerEvent

STREAM = (
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
def test_fragments_of_any_size(size: int) -> None:
    decoder = EventDecoder()
    fragments = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert [event for fragment in fragments for event in decoder.push(fragment)] == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_fragments_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    decoder = EventDecoder()
    fragments = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    assert [event for fragment in fragments for event in decoder.push(fragment)] == EVENTS


def test_unfinished_event_is_not_given_out() -> None:
    assert list(EventDecoder().push(b"data: half\n")) == []
