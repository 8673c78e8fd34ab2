"""Rows in the shapes of TRL's vision data sets."""

from collections.abc import Callable
from typing import Any

import pytest

from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.protocol.record import read_record

Opened = Callable[..., Rows]
Read = Callable[..., list[tuple[str, Any]]]
Chat = Callable[..., list[dict[str, Any]]]


def test_trl_rows(opened: Opened, read: Read, chat: Chat) -> None:
    place = {"type": "image"}
    words = {"type": "text", "text": "Which is it?"}
    rows = opened(
        [
            {"images": ["a.png", "b.png"], "messages": chat("What?", "A dog.", "Sure?", "Yes.")},
            {
                "images": ["a.png", "b.png"],
                "messages": [
                    {"role": "user", "content": [place, words, place]},
                    {"role": "assistant", "content": [{"type": "text", "text": "The first."}]},
                ],
            },
            {"image": "a.png", "prompt": chat("What?", "Hm."), "completion": chat("", "Dog.")[1:]},
            {"image": {"bytes": None, "path": "a.png"}, "prompt": "What?", "completion": "Dog."},
        ],
        format="trl",
    )
    both = [("image_url", "a.png"), ("image_url", "b.png")]
    assert read(rows, 0)[0] == ("user", [*both, "What?"])
    assert read(rows, 0)[1:] == [("assistant", "A dog."), ("user", "Sure?"), ("assistant", "Yes.")]
    assert read(rows, 1) == [
        ("user", [both[0], "Which is it?", both[1]]),
        ("assistant", "The first."),
    ]
    prompted = read_record(rows[2]).messages
    assert [message.is_learnt for message in prompted] == [False, False, True]
    assert read(rows, 3) == [("user", [both[0], "What?"]), ("assistant", "Dog.")]


def test_trl_parts_that_wait_for_more_images_are_counted(opened: Opened) -> None:
    content = [{"type": "image"}, {"type": "image"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "A."}]
    with pytest.raises(DataError, match="json:1: 2 placeholders <image> for 1 medium"):
        opened([{"images": ["a"], "messages": messages}], format="trl")[0]
    with pytest.raises(DataError, match="json:1: prompt is missing"):
        opened([{"images": ["a"]}], format="trl")[0]
