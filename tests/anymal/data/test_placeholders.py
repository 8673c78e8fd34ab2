"""Where media stand among the words."""

from typing import Any

import pytest

from anymal.data.media_folder import media_part, media_parts
from anymal.data.placeholders import with_media
from anymal.errors import DataError


def image(path: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": path}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def test_media_stand_where_their_placeholders_are_in_any_turn() -> None:
    messages = [user("<image>\nWhat?"), said("This: <image>"), user("And <image>?"), said("No.")]
    filled = with_media(messages, {"image": media_parts("image", ["a", "b", "c"])})
    assert filled == [
        user([image("a"), text("What?")]),
        said([text("This: "), image("b")]),
        user([text("And "), image("c"), text("?")]),
        said("No."),
    ]


def test_kinds_are_counted_apart_and_keep_their_order() -> None:
    media = {
        "image": media_parts("image", "a.png"),
        "audio": media_parts("audio", ["a.wav", "b.wav"]),
        "imu": media_parts("imu", {"url": "a.csv", "acceleration_unit": "g"}),
        "video": media_parts("video", "a.mp4"),
    }
    content = "<audio><imu> moves <image>\n<video>\n<audio> sounds"
    (message,) = with_media([user(content)], media)
    parts = message["content"]
    assert [part["type"] for part in parts] == [
        *("audio_url", "input_imu", "text", "image_url", "video_url", "audio_url", "text"),
    ]
    assert parts[1]["input_imu"] == {"url": "a.csv", "acceleration_unit": "g"}
    assert [parts[0]["audio_url"], parts[5]["audio_url"]] == [{"url": "a.wav"}, {"url": "b.wav"}]


@pytest.mark.parametrize(
    ("words", "paths", "says"),
    [
        ("<image>", [], "1 placeholder <image> for 0 media"),
        ("<image> <image>", ["a"], "2 placeholders <image> for 1 medium"),
        ("None.", ["a", "b"], "0 placeholders <image> for 2 media"),
        ("<image>", ["a", "b", "c"], "1 placeholder <image> for 3 media"),
    ],
)
def test_counts_that_differ_are_both_named(words: str, paths: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        with_media([user(words)], {"image": media_parts("image", paths)})


def test_without_any_placeholder_media_may_come_first() -> None:
    messages = [{"role": "system", "content": "Hi."}, user("What?"), said("A."), user("And?")]
    media = {"image": media_parts("image", ["a", "b"]), "audio": media_parts("audio", "c")}
    filled = with_media(messages, media, none_is_first=True)
    first = [image("a"), image("b"), {"type": "audio_url", "audio_url": {"url": "c"}}]
    assert filled == [messages[0], user([*first, text("What?")]), *messages[2:]]
    with pytest.raises(DataError, match="no message of the user"):
        with_media([said("A.")], media, none_is_first=True)
    with pytest.raises(DataError, match="1 placeholder <image> for 2 media"):
        with_media([user("<image>")], media, none_is_first=True)


def test_parts_of_other_tools_carry_a_medium_or_wait_for_one() -> None:
    content = [
        {"type": "image", "text": None},
        {"type": "text", "text": "Which? <image>", "image": None},
        {"type": "image", "image": "b.png"},
        {"type": "image_url", "image_url": "c.png"},
        {"type": "image_url", "image_url": {"url": "d.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "image_url", "value": "e.png"},
    ]
    (message,) = with_media([user(content)], {"image": media_parts("image", ["1", "2"])})
    assert message["content"] == [
        image("1"),
        text("Which? "),
        image("2"),
        *map(image, ("b.png", "c.png", "d.png", "data:image/png;base64,AA==")),
        content[6],
        image("e.png"),
    ]


@pytest.mark.parametrize("content", [None, 3, [{"type": "thought"}], ["words"]])
def test_content_of_another_kind_is_refused(content: Any) -> None:
    with pytest.raises(DataError, match=r"content of a message is|part of a message has the type"):
        with_media([user(content)], {})


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("a/b.png", "a/b.png"),
        (b"12", "data:application/octet-stream;base64,MTI="),
        ({"bytes": b"12", "path": "a.png"}, "data:application/octet-stream;base64,MTI="),
        ({"bytes": None, "path": "a.png"}, "a.png"),
        ({"url": "a.png"}, "a.png"),
    ],
)
def test_a_medium_comes_as_path_bytes_or_struct(value: Any, url: str) -> None:
    assert media_part("image", value) == image(url)


@pytest.mark.parametrize("value", ["", None, 7, {}, {"bytes": None, "path": None}])
def test_what_is_no_medium_is_named(value: Any) -> None:
    with pytest.raises(DataError, match="a medium of kind image is"):
        media_part("image", value)
