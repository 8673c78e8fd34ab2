"""What a part says of a clock: read in every request, refused where it means nothing."""

from typing import Any

import pytest

from anymal.errors import ConversationError
from anymal.protocol.conversation import read_conversation
from anymal.protocol.record import read_record
from anymal.protocol.requests import AlignRequest
from anymal.protocol.response_requests import ResponseRequest

SOUND = {"type": "audio_url", "audio_url": "data:,a"}


def group_of(part: dict[str, Any]) -> Any:
    conversation = read_conversation({"messages": [{"role": "user", "content": [part]}]})
    (found,) = conversation.messages[0].parts
    return found.group  # type: ignore[union-attr]


def test_a_group_is_a_name_or_a_name_and_a_beginning() -> None:
    assert group_of({**SOUND, "group": "ride"}) == group_of({**SOUND, "group": {"name": "ride"}})
    later = group_of({**SOUND, "group": {"name": "ride", "start_s": 0.4}})
    assert (later.name, later.start_s) == ("ride", 0.4)
    assert group_of({**SOUND, "group": None}) is None
    assert group_of(SOUND) is None


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("", "at least 1 character"),
        ({"name": "a", "start_s": -1}, "greater than or equal to 0"),
        ({"name": "a", "start_s": True}, "should be a number"),
        ({"name": "a", "end_s": 2}, "end_s"),
        ({"start_s": 1}, "name"),
        (7, "group"),
    ],
)
def test_other_groups_are_refused(group: Any, message: str) -> None:
    with pytest.raises(ConversationError, match=message):
        group_of({**SOUND, "group": group})


def test_words_are_on_no_clock() -> None:
    with pytest.raises(ConversationError, match="group"):
        group_of({"type": "text", "text": "a", "group": "g"})


def test_records_files_and_responses_carry_it() -> None:
    messages = [{"role": "user", "content": [{**SOUND, "group": "g"}]}]
    record = {"messages": [*messages, {"role": "assistant", "content": "a"}]}
    assert read_record(record).messages[0].parts[0].group.name == "g"  # type: ignore[union-attr]
    file = {"type": "file", "file": {"file_data": "data:audio/wav;base64,YQ=="}, "group": "g"}
    assert group_of(file).name == "g"
    request = ResponseRequest.model_validate(
        {"input": [{"role": "user", "content": [{**SOUND, "group": "g"}]}]}
    )
    (part,) = request.chat().messages[0].parts
    assert part.group.name == "g"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "part",
    [
        {**SOUND, "group": "g"},
        {"type": "video_url", "video_url": {"url": "data:,f", "sound": True}},
    ],
)
def test_one_medium_alone_is_on_no_clock(part: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="leave group and sound out"):
        AlignRequest.model_validate({"input": part})
