"""A file part becomes the part of the medium that it holds."""

from typing import Any

import pytest

from anymal.errors import ConversationError
from anymal.protocol.conversation import ImuPart, read_conversation


def read(**file: Any) -> Any:
    part = {"type": "file", "file": file}
    return read_conversation({"messages": [{"role": "user", "content": [part]}]}).messages[0].parts


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ({"file_data": "data:video/mp4;base64,AAAA", "filename": "a.mp4"}, "video_url"),
        ({"file_data": "data:image/png;base64,AAAA"}, "image_url"),
        ({"file_data": "data:;base64,AAAA", "filename": "walk.CSV"}, "input_imu"),
        ({"file_data": "data:text/csv;base64,AAAA"}, "input_imu"),
        ({"file_data": "AAAA", "filename": "walk.zip"}, "input_imu"),
        ({"file_data": "AAAA", "filename": "a.wav"}, "audio_url"),
        ({"file_data": "AAAA", "format": "video/webm"}, "video_url"),
    ],
)
def test_media_type_or_name_says_what_a_file_is(file: dict[str, Any], kind: str) -> None:
    (part,) = read(**file)
    assert part.type == kind
    url = getattr(part, kind).url
    assert url.endswith(";base64,AAAA")
    assert isinstance(part, ImuPart) == (kind == "input_imu")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"file_id": "file-7"}, "no files are stored here"),
        ({"file_data": "data:application/pdf;base64,AAAA"}, "application/pdf"),
        ({"file_data": "AAAA"}, "without media type and name"),
        ({"file_data": 3}, "all text"),
        ({"file_data": "AAAA", "filename": "a.png", "colour": "red"}, "colour"),
    ],
)
def test_what_a_file_cannot_be_is_told(file: dict[str, Any], words: str) -> None:
    with pytest.raises(ConversationError, match=words) as refused:
        read(**file)
    assert str(refused.value).startswith("messages.0.content.0: ")
