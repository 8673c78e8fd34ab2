"""Rows in the shapes of ms-swift's Customization/Custom-dataset."""

from collections.abc import Callable
from typing import Any

import pytest

from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.protocol.record import read_record

Opened = Callable[..., Rows]
Read = Callable[..., list[tuple[str, Any]]]
Chat = Callable[..., list[dict[str, Any]]]


def test_swift_rows(opened: Opened, read: Read, chat: Chat) -> None:
    system = {"role": "system", "content": "Be helpful."}
    rows = opened(
        [
            {"messages": chat("<image><image>What differs?", "A dog."), "images": ["/x.jpg", "y"]},
            {
                "messages": [system, *chat("<image>What, <video>what?", "An elephant.")],
                "image": "x.jpg",
                "video": "x.mp4",
            },
            {"messages": chat("<audio>What?", "It is <image>."), "audio": "a", "images": ["b"]},
            {"query": "And 2?", "response": "3", "history": [["1?", "2"]], "system": "Count."},
            {"instruction": "Add.", "input": "1 and 2", "output": "3"},
            {"conversation": [{"human": "Hi.", "assistant": "Hello."}]},
            {"messages": chat("What?", "A dog."), "image": "data:image/png;base64,AA=="},
        ],
        format="swift",
    )
    images = [("image_url", "/x.jpg"), ("image_url", "y")]
    assert read(rows, 0)[0] == ("user", [*images, "What differs?"])
    asked = [("image_url", "x.jpg"), "What, ", ("video_url", "x.mp4"), "what?"]
    assert read(rows, 1)[:2] == [("system", "Be helpful."), ("user", asked)]
    assert read(rows, 2) == [
        ("user", [("audio_url", "a"), "What?"]),
        ("assistant", ["It is ", ("image_url", "b"), "."]),
    ]
    assert [words for _, words in read(rows, 3)] == ["Count.", "1?", "2", "And 2?", "3"]
    assert read(rows, 4) == [("user", "Add.\n1 and 2"), ("assistant", "3")]
    assert read(rows, 5) == [("user", "Hi."), ("assistant", "Hello.")]
    assert read(rows, 6)[0] == ("user", [("image_url", "data:image/png;base64,AA=="), "What?"])


def test_swift_marks_answers_that_are_not_learnt(opened: Opened, chat: Chat) -> None:
    rows = opened([{"messages": chat("Hi.", "Hello.", "1+1?", "2", loss=False)}], format="swift")
    read_messages = read_record(rows[0]).messages
    assert [message.is_learnt for message in read_messages] == [False, False, False, True]


def test_swift_objects_become_words(opened: Opened, read: Read, chat: Chat) -> None:
    objects = {"ref": ["a dog", "a cat"], "bbox": [[331.5, 761.4, 853.5, 1594.8], [6, 8, 10, 14]]}
    answer = "<ref-object><bbox> and <ref-object> at <bbox>"
    row = {"messages": chat("<image>What?", answer), "images": ["x"], "objects": objects}
    few = row | {"objects": {"ref": ["a dog"], "bbox": objects["bbox"]}}
    rows = opened([row, few], format="swift")
    said = "a dog[331.5, 761.4, 853.5, 1594.8] and a cat at [6, 8, 10, 14]"
    assert read(rows)[1] == ("assistant", said)
    with pytest.raises(DataError, match="json:2: 2 tags <ref-object> for 1 objects"):
        rows[1]


def test_swift_rows_of_no_known_shape_say_what_they_have(opened: Opened, read: Read) -> None:
    with pytest.raises(DataError, match="the row has question, answer: neither messages"):
        opened([{"question": "Q", "answer": "A"}], format="swift")[0]
    renamed = {"query": "question", "response": "answer"}
    rows = opened([{"question": "Q", "answer": "A"}], format="swift", columns=renamed)
    assert read(rows) == [("user", "Q"), ("assistant", "A")]
