"""Rows in the shape of LLaVA's docs/Finetune_Custom_Data.md and of its followers."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.data.rows import Rows
from anymal.errors import DataError

Opened = Callable[..., Rows]
Read = Callable[..., list[tuple[str, Any]]]


def turns(*words: str) -> list[dict[str, str]]:
    return [
        {"from": "gpt" if number % 2 else "human", "value": text}
        for number, text in enumerate(words)
    ]


def test_llava_rows(opened: Opened, tmp_path: Path, read: Read) -> None:
    rows = opened(
        [
            {
                "id": "997bb945",
                "image": "part-1/997bb945.jpg",
                "conversations": turns("<image>\nWrite a prompt.", "a painting", "More.", "ray"),
            },
            {"id": "text", "conversations": turns("Is ice cold?", "Yes.")},
            {"image": ["a.jpg", "b.jpg"], "conversations": turns("<image> or\n<image>?", "b")},
            {"image": "a.jpg", "conversations": turns("What is it?", "A dog.", "Sure?", "Yes.")},
        ],
        format="llava",
    )
    assert rows.base_dir == tmp_path
    assert rows.licence == "unknown"
    assert read(rows, 0) == [
        ("user", [("image_url", "part-1/997bb945.jpg"), "Write a prompt."]),
        ("assistant", "a painting"),
        ("user", "More."),
        ("assistant", "ray"),
    ]
    assert rows[0]["id"] == "997bb945"
    assert read(rows, 1) == [("user", "Is ice cold?"), ("assistant", "Yes.")]
    asked = [("image_url", "a.jpg"), " or\n", ("image_url", "b.jpg"), "?"]
    assert read(rows, 2)[0] == ("user", asked)
    assert read(rows, 3)[0] == ("user", [("image_url", "a.jpg"), "What is it?"])
    assert read(rows, 3)[2] == ("user", "Sure?")


def test_llava_rows_of_other_media(opened: Opened, read: Read) -> None:
    rows = opened(
        [
            {"video": "a.mp4", "conversations": turns("<image>\nWhat happens?", "Rain.")},
            {"audio": "a.wav", "conversations": turns("<audio> Who?", "A dog.")},
            {"imu": "a.csv", "conversations": turns("Which motion?", "Walking.")},
        ],
        format="llava",
    )
    firsts = [read(rows, index)[0][1][0] for index in range(3)]
    assert firsts == [("video_url", "a.mp4"), ("audio_url", "a.wav"), ("input_imu", "a.csv")]


def test_a_column_may_be_another_medium_than_its_name_says(opened: Opened, read: Read) -> None:
    """OneLLM names sounds under `image`, without a placeholder."""
    row = {"image": "a.wav", "conversations": turns("Describe it.", "Rain.")}
    rows = opened([row], format="llava", columns={"audio": "image"})
    assert read(rows)[0] == ("user", [("audio_url", "a.wav"), "Describe it."])


def test_what_llava_does_not_read_is_told_once(
    opened: Opened, caplog: pytest.LogCaptureFixture, read: Read
) -> None:
    row = {"model": "gpt-4", "conversations": [{**turn, "markdown": 1} for turn in turns("A", "B")]}
    rows = opened([row, row], format="llava")
    with caplog.at_level(logging.WARNING):
        for index in (0, 1, 0):
            read(rows, index)
    told = [record.getMessage().partition("not read: ")[2] for record in caplog.records]
    assert told == ["model", "conversations.markdown"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"image": "a.jpg", "messages": []}, "conversations is missing"),
        ({"conversations": "Hi."}, "conversations is str 'Hi.'; it should be a list of turns"),
        ({"conversations": [{"from": "human"}]}, r"conversations\.0 has no 'value'"),
        ({"conversations": ["Hi."]}, r"conversations\.0 is str; a turn is an object"),
        ({"conversations": turns("<image> <image>", "A"), "image": "a"}, "2 placeholders <image>"),
        ({"conversations": turns("A", "B"), "image": "a", "images": ["b"]}, "image and images"),
        ({"conversations": turns("A", "B"), "image": 7}, "a medium of kind image is int 7"),
    ],
)
def test_a_row_of_another_shape_is_named_with_what_is_wrong(
    opened: Opened, row: dict[str, Any], says: str, read: Read
) -> None:
    rows = opened([{"conversations": turns("A", "B")}, row], format="llava")
    read(rows, 0)
    with pytest.raises(DataError, match=rf"data\.json:2: .*{says}"):
        rows[1]
