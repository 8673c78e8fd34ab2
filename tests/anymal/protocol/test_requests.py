"""What a conversation may look like, and how a refusal reads."""

from typing import Any

import pytest
from pydantic import ValidationError

from anymal.engine import sampling
from anymal.errors import ConversationError, EngineError
from anymal.protocol import requests
from anymal.protocol.conversation import Conversation, ImuPart, TextPart, read_conversation
from anymal.protocol.explain import explain
from anymal.protocol.requests import ChatCompletionRequest
from anymal.protocol.responses import ChatCompletionChunk, ChunkChoice, Delta

IMU = {"type": "input_imu", "input_imu": {"samples": [[0, 0, 9.8, 0, 0, 0]], "rate_hz": 50}}
PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}},
    {"type": "video_url", "video_url": {"url": "clip.mp4"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "audio_url", "audio_url": {"url": "sound.flac"}},
    IMU,
    {"type": "input_imu", "input_imu": {"data": "AAAA", "format": "npz", "rotation_unit": "deg/s"}},
    {"type": "input_imu", "input_imu": {"url": "walk.csv", "acceleration_unit": "g"}},
    {
        "type": "input_media",
        "input_media": {"modality": "depth", "url": "a.npy", "options": {"far": 9, "unit": "m"}},
    },
]


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize("part", PARTS)
def test_part_survives_a_round_trip(part: dict[str, Any]) -> None:
    first = read_conversation(user(part))
    again = Conversation.model_validate_json(first.model_dump_json())
    assert again == first
    assert again.messages[0].parts[0].type == part["type"]


def test_records_may_carry_more_beside_messages() -> None:
    record = {**user(PARTS[0]), "id": "7", "meta": {"task": "x"}}
    assert read_conversation(record).messages[0].parts == [TextPart(text="What is it?")]


def test_string_content_is_one_text_part() -> None:
    conversation = read_conversation({"messages": [{"role": "user", "content": "Hi"}]})
    assert conversation.messages[0].content == "Hi"
    assert conversation.messages[0].parts == [TextPart(text="Hi")]


def test_units_are_left_to_the_file_by_default() -> None:
    part = ImuPart.model_validate(IMU)
    assert (part.input_imu.acceleration_unit, part.input_imu.rotation_unit) == (None, None)


def imu(**fields: Any) -> dict[str, Any]:
    return {"type": "input_imu", "input_imu": fields}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "text", "text": "x", "colour": 1}, "0.content.0.colour: this key is not known"),
        ({"type": "image"}, "0.content.0: the type 'image' is not known"),
        ({"type": "image_url"}, "0.content.0.image_url: Field required"),
        ({"type": "image_url", "image_url": 3}, "0.content.0.image_url: this should be an object"),
        ({"type": "image_url", "image_url": {"url": ""}}, "image_url.url: String should have"),
        ({"type": "image_url", "image_url": {"url": "a", "detail": "huge"}}, "detail: Input"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "input_audio.data: Field"),
        ({"type": "input_media", "input_media": {"url": "a"}}, "input_media.modality: Field"),
        (
            {"type": "input_media", "input_media": {"url": "a", "modality": "a:b"}},
            "input_media.modality: String should match",
        ),
        (imu(), "give exactly one of data, url and samples; found none"),
        (imu(data="A", format="csv", url="b"), "found data and url"),
        (imu(data="A"), "data needs format: one of csv"),
        (imu(samples=[[1, 2, 3]]), "samples needs rate_hz"),
        (imu(samples=[[1, 2, 3]], rate_hz=5, format="csv"), "samples takes no format"),
        (imu(samples=[], rate_hz=5), "samples: List should have at least 1"),
        (imu(samples=[[1, "x"]], rate_hz=5), "input_imu.samples.0.1: this should be a number"),
        (imu(url="a", rate_hz=0), "input_imu.rate_hz: Input should be greater than 0"),
        (imu(url="a", rate_hz=float("inf")), "input_imu.rate_hz: Input should be a finite"),
        (imu(url="a", acceleration_unit="mg"), "input_imu.acceleration_unit: Input should be 'm/"),
    ],
)
def test_refused_part_is_explained(part: dict[str, Any], words: str) -> None:
    with pytest.raises(ConversationError) as refused:
        read_conversation(user(part))
    assert words in str(refused.value)
    assert str(refused.value).startswith("messages.0.content.0")


@pytest.mark.parametrize("messages", [None, [], "x", ["x"], [{"role": "user"}], [{"content": "x"}]])
def test_refused_messages_are_explained(messages: Any) -> None:
    with pytest.raises(ConversationError, match=r"^messages"):
        read_conversation({"messages": messages})


def test_a_url_may_stand_alone() -> None:
    for kind in ("image_url", "video_url", "audio_url"):
        (part,) = read_conversation(user({"type": kind, kind: "a.bin"})).messages[0].parts
        assert getattr(part, kind).url == "a.bin"


def test_a_stretch_of_a_video_goes_forward() -> None:
    body = {"url": "a.mp4", "start_s": 3, "end_s": 4.5}
    (part,) = read_conversation(user({"type": "video_url", "video_url": body})).messages[0].parts
    assert (part.video_url.start_s, part.video_url.end_s) == (3, 4.5)
    for wrong in ({"end_s": 3}, {"end_s": 0, "start_s": None}, {"start_s": -1}, {"start_s": True}):
        changed = {"type": "video_url", "video_url": {**body, **wrong}}
        with pytest.raises(ConversationError, match=r"messages\.0\.content\.0\.video_url"):
            read_conversation(user(changed))


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}, {"content": ""}])
def test_an_answer_may_be_empty_and_a_question_may_not(content: dict[str, Any]) -> None:
    talk = read_conversation({"messages": [{"role": "assistant", **content}]})
    assert [part.text for part in talk.messages[0].parts if isinstance(part, TextPart)] in (
        [],
        [""],
    )
    if content.get("content") != "":
        with pytest.raises(ConversationError, match=r"^messages\.0: content is empty"):
            read_conversation({"messages": [{"role": "user", **content}]})


def test_answer_as_stock_clients_replay_it_is_taken() -> None:
    turn = {"role": "assistant", "content": "Yes.", "refusal": None, "tool_calls": None}
    assert read_conversation({"messages": [turn]}).messages[0].content == "Yes."


def request(**fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate(
        {"messages": [{"role": "user", "content": "x"}], **fields}
    )


def test_stop_and_limits_have_one_form() -> None:
    assert request(stop="a").stop_strings == ("a",)
    assert request(stop=["a", "b"]).stop_strings == ("a", "b")
    assert request().stop_strings == ()
    assert request(max_tokens=3).token_limit == 3
    assert request(max_completion_tokens=4).token_limit == 4
    assert request(max_tokens=3, max_completion_tokens=3).token_limit == 3
    assert request().token_limit is None


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1, "max_completion_tokens": 2},
        {"stop": ""},
        {"stop": list("abcde")},
        {"n": 0},
        {"n": 9},
        {"top_k": -2},
        {"presence_penalty": 2.1},
        {"frequency_penalty": -2.1},
        {"repetition_penalty": 0},
        {"repetition_penalty": 1e-40},
        {"temperature": 1e-40},
        {"temperature": 5e-324},
        {"top_logprobs": 1},
        {"logprobs": True, "top_logprobs": 21},
        {"response_format": {"type": "json_object"}},
        {"seed": -(2**63) - 1},
        {"min_p": 1.1},
        {"seed": 2**63},
        {"unheard_of": 1},
    ],
)
def test_refused_request(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**fields)


def test_what_asks_for_nothing_is_let_through() -> None:
    request(seed=-1, top_p=0, min_p=0, top_logprobs=0)
    request(n=1, frequency_penalty=0.0, logit_bias={}, response_format={"type": "text"}, tools=[])


def test_smallest_values_are_those_of_the_engine() -> None:
    assert sampling.MIN_TEMPERATURE == requests.MIN_TEMPERATURE
    least = {"temperature": 1e-9, "repetition_penalty": 0.01, "top_p": 5e-324, "min_p": 5e-324}
    request(**least)
    sampling.Sampling(**least)  # type: ignore[arg-type]
    for name, value in least.items():
        if name in ("temperature", "repetition_penalty"):
            with pytest.raises(ValidationError, match=name):
                request(**{name: value * 0.9})
            with pytest.raises(EngineError, match=name):
                sampling.Sampling(**{name: value * 0.9})  # type: ignore[arg-type]


def test_refusal_names_the_parameter() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]}
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(body)
    refusal = explain(refused.value.errors(), body)
    assert refusal.message == "'tools' is not supported here; leave it out, or send []"
    assert (refusal.param, refusal.code) == ("tools", "unsupported_parameter")


def test_logprobs_are_counted() -> None:
    assert request().num_logprobs is None
    assert request(logprobs=True).num_logprobs == 0
    assert request(logprobs=True, top_logprobs=5).num_logprobs == 5


def test_schema_says_that_null_is_absent_and_parts_name_their_type() -> None:
    schema = ChatCompletionRequest.model_json_schema()
    assert schema["required"] == ["messages"]
    assert {"type": "null"} in schema["properties"]["n"]["anyOf"]
    assert schema["additionalProperties"] == {"type": "null"}
    assert schema["properties"]["tools"]["enum"] == [[], None]
    assert schema["$defs"]["ImagePart"]["required"] == ["image_url", "type"]


def test_chunk_leaves_out_what_a_delta_does_not_add() -> None:
    choice = ChunkChoice(delta=Delta(content="a"))
    chunk = ChatCompletionChunk(id="1", created=1, model="m", choices=[choice])
    (found,) = chunk.model_dump(mode="json")["choices"]
    assert found == {
        "index": 0,
        "delta": {"content": "a"},
        "finish_reason": None,
        "logprobs": None,
    }


NUMBERS = (
    *("n", "temperature", "top_p", "min_p", "top_k", "repetition_penalty", "presence_penalty"),
    *("frequency_penalty", "max_tokens", "max_completion_tokens", "seed", "top_logprobs"),
)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", [True, False, "many", [1]])
def test_what_is_no_number_is_refused(name: str, wrong: Any) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], name: wrong}
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(body)
    problem = explain(refused.value.errors(), body)
    assert problem.param == name
    assert "number" in problem.message
    assert "string" not in problem.message


@pytest.mark.parametrize(
    ("motion", "param"),
    [
        ({"samples": [[0, 0, 9.8]], "rate_hz": True}, "rate_hz"),
        ({"samples": [[0, 0, 9.8], [0, True, 9.8]], "rate_hz": 50}, "samples"),
    ],
)
def test_true_is_no_number_of_a_motion(motion: dict[str, Any], param: str) -> None:
    part = {"type": "input_imu", "input_imu": motion}
    body = {"messages": [{"role": "user", "content": [part]}]}
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(body)
    problem = explain(refused.value.errors(), body)
    assert problem.param == f"messages.0.content.0.input_imu.{param}"


def test_every_number_of_a_request_is_tried() -> None:
    properties = ChatCompletionRequest.model_json_schema()["properties"]
    kinds = {
        name: {each.get("type") for each in schema.get("anyOf", [schema])}
        for name, schema in properties.items()
    }
    assert {name for name, found in kinds.items() if found & {"integer", "number"}} == set(NUMBERS)


def test_a_type_that_is_not_known_is_told_with_those_that_are() -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "picture", "url": "x"}]}]}
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(body)
    problem = explain(refused.value.errors(), body)
    assert problem.param == "messages.0.content.0"
    assert "the type 'picture' is not known; send 'text', 'image_url'" in problem.message
