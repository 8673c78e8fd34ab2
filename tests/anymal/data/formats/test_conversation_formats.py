"""Rows in the shapes that the tools publish, as records."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from anymal.data.registry import FORMATS, open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.protocol.record import read_record
from anymal.recipe.data_entry import DataFormat, DataRecipe

Opened = Callable[..., Rows]


@pytest.fixture(name="opened")
def _opened(tmp_path: Path) -> Opened:
    """Opens rows in a format; all its records are valid conversations, or errors."""

    def open_(rows: list[Any], **entry: Any) -> Rows:
        path = tmp_path / "data.json"
        path.write_text(json.dumps(rows))
        return open_rows(DataRecipe(manifest=str(path), **entry))

    return open_


def read(rows: Rows, index: int = 0) -> list[tuple[str, Any]]:
    """Roles and contents of a record, whose messages are valid; media by kind and place."""
    record = rows[index]
    read_record(record)
    return [(one["role"], brief(one["content"])) for one in record["messages"]]


def brief(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [
        part["text"] if part["type"] == "text" else (part["type"], part[part["type"]]["url"])
        for part in content
    ]


def test_every_format_of_a_recipe_can_be_opened() -> None:
    assert set(FORMATS) == set(get_args(DataFormat))


# --- LLaVA: docs/Finetune_Custom_Data.md ----------------------------------------------------------


def turns(*words: str) -> list[dict[str, str]]:
    return [
        {"from": "gpt" if number % 2 else "human", "value": text}
        for number, text in enumerate(words)
    ]


def test_llava_rows(opened: Opened, tmp_path: Path) -> None:
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


def test_llava_rows_of_other_media(opened: Opened) -> None:
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


def test_a_column_may_be_another_medium_than_its_name_says(opened: Opened) -> None:
    """OneLLM names sounds under `image`, without a placeholder."""
    row = {"image": "a.wav", "conversations": turns("Describe it.", "Rain.")}
    rows = opened([row], format="llava", columns={"audio": "image"})
    assert read(rows)[0] == ("user", [("audio_url", "a.wav"), "Describe it."])


def test_what_llava_does_not_read_is_told_once(
    opened: Opened, caplog: pytest.LogCaptureFixture
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
    opened: Opened, row: dict[str, Any], says: str
) -> None:
    rows = opened([{"conversations": turns("A", "B")}, row], format="llava")
    read(rows, 0)
    with pytest.raises(DataError, match=rf"data\.json:2: .*{says}"):
        rows[1]


# --- LLaMA-Factory: data/README.md, mllm_demo.json, mllm_audio_demo.json, mllm_video_demo.json ----

DEMO = {
    "messages": [
        {"content": "<image>Who are they?", "role": "user"},
        {"content": "Two players.", "role": "assistant"},
        {"content": "And <image>?", "role": "user"},
        {"content": "A third.", "role": "assistant"},
    ],
    "images": ["demo/1.jpg", "demo/2.jpg"],
}
VIDEO_AUDIO = {
    "messages": [
        {"content": "<video><audio>What is it about?", "role": "user"},
        {"content": "A girl who draws.", "role": "assistant"},
    ],
    "videos": ["demo/4.mp4"],
    "audios": ["demo/4.mp3"],
}
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
}
INFO = {
    "mllm_demo": {
        "file_name": "data.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": OPENAI_TAGS,
    },
    "plain": {
        "file_name": "data.json",
        "formatting": "sharegpt",
        "columns": {"messages": "chat", "system": "sys"},
        "tags": {"user_tag": "Q", "assistant_tag": "A"},
    },
    "alpaca": {
        "file_name": "data.json",
        "columns": {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
            "history": "history",
            "images": "images",
        },
    },
    "preferences": {"file_name": "data.json", "ranking": True},
    "away": {"hf_hub_url": "org/name"},
}


@pytest.fixture(name="info")
def _info(tmp_path: Path) -> Opened:
    """Opens a data set of `dataset_info.json`."""

    def open_(rows: list[Any], name: str | None, *, by_file: bool = False) -> Rows:
        (tmp_path / "dataset_info.json").write_text(json.dumps(INFO))
        (tmp_path / "data.json").write_text(json.dumps(rows))
        path = tmp_path / "dataset_info.json" if by_file else tmp_path
        return open_rows(DataRecipe(manifest=str(path), format="sharegpt", split=name))

    return open_


def test_sharegpt_rows_with_and_without_a_description(
    opened: Opened, info: Opened, tmp_path: Path
) -> None:
    expected = [
        ("user", [("image_url", "demo/1.jpg"), "Who are they?"]),
        ("assistant", "Two players."),
        ("user", ["And ", ("image_url", "demo/2.jpg"), "?"]),
        ("assistant", "A third."),
    ]
    for rows in (
        opened([DEMO], format="sharegpt"),
        info([DEMO], "mllm_demo"),
        info([DEMO], "mllm_demo", by_file=True),
    ):
        assert read(rows) == expected
        assert rows.base_dir == tmp_path
    (first, _) = read(opened([VIDEO_AUDIO], format="sharegpt"))
    media = [("video_url", "demo/4.mp4"), ("audio_url", "demo/4.mp3")]
    assert first == ("user", [*media, "What is it about?"])


def test_sharegpt_tags_and_columns_have_the_names_of_the_description(info: Opened) -> None:
    row = {
        "chat": [{"from": "Q", "value": "Hi."}, {"from": "A", "value": "Hello."}],
        "sys": "Be brief.",
    }
    expected = [("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello.")]
    assert read(info([row], "plain")) == expected
    own = [{"from": "system", "value": "Be long."}, *row["chat"]]  # goes before the column
    assert read(info([{**row, "chat": own}], "plain"))[0] == ("system", "Be long.")


def test_alpaca_rows_of_llama_factory(info: Opened) -> None:
    row = {
        "instruction": "<image>What is it?",
        "input": "One word.",
        "output": "A dog.",
        "system": "Be brief.",
        "history": [["Hi.", "Hello."]],
        "images": ["a.jpg"],
    }
    assert read(info([row, row | {"output": None}], "alpaca")) == [
        ("system", "Be brief."),
        ("user", "Hi."),
        ("assistant", "Hello."),
        ("user", [("image_url", "a.jpg"), "What is it?\nOne word."]),
        ("assistant", "A dog."),
    ]
    with pytest.raises(DataError, match=r"data\.json:2: the row has no answer in words"):
        info([row, row | {"output": None}], "alpaca")[1]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (None, "no data set None; set split to one of: mllm_demo, plain"),
        ("demo", "no data set 'demo'"),
        ("preferences", "holds preferences"),
        ("away", r"is not here \(hf_hub_url\)"),
    ],
)
def test_a_description_that_leads_nowhere_says_why(
    info: Opened, name: str | None, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        info([DEMO], name)


def test_counts_of_sharegpt_must_match(opened: Opened) -> None:
    rows = opened([DEMO | {"images": ["a"]}, DEMO | {"images": None}], format="sharegpt")
    for index, found in enumerate(["1 medium", "0 media"]):
        with pytest.raises(
            DataError, match=rf"json:{index + 1}: 2 placeholders <image> for {found}"
        ):
            rows[index]


# --- ms-swift: Customization/Custom-dataset -------------------------------------------------------


def chat(*words: str, **first_answer: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"role": "assistant" if number % 2 else "user", "content": text}
        for number, text in enumerate(words)
    ]
    messages[1] |= first_answer
    return messages


def test_swift_rows(opened: Opened) -> None:
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


def test_swift_marks_answers_that_are_not_learnt(opened: Opened) -> None:
    rows = opened([{"messages": chat("Hi.", "Hello.", "1+1?", "2", loss=False)}], format="swift")
    read_messages = read_record(rows[0]).messages
    assert [message.is_learnt for message in read_messages] == [False, False, False, True]


def test_swift_objects_become_words(opened: Opened) -> None:
    objects = {"ref": ["a dog", "a cat"], "bbox": [[331.5, 761.4, 853.5, 1594.8], [6, 8, 10, 14]]}
    answer = "<ref-object><bbox> and <ref-object> at <bbox>"
    row = {"messages": chat("<image>What?", answer), "images": ["x"], "objects": objects}
    few = row | {"objects": {"ref": ["a dog"], "bbox": objects["bbox"]}}
    rows = opened([row, few], format="swift")
    said = "a dog[331.5, 761.4, 853.5, 1594.8] and a cat at [6, 8, 10, 14]"
    assert read(rows)[1] == ("assistant", said)
    with pytest.raises(DataError, match="json:2: 2 tags <ref-object> for 1 objects"):
        rows[1]


def test_swift_rows_of_no_known_shape_say_what_they_have(opened: Opened) -> None:
    with pytest.raises(DataError, match="the row has question, answer: neither messages"):
        opened([{"question": "Q", "answer": "A"}], format="swift")[0]
    renamed = {"query": "question", "response": "answer"}
    rows = opened([{"question": "Q", "answer": "A"}], format="swift", columns=renamed)
    assert read(rows) == [("user", "Q"), ("assistant", "A")]


# --- TRL: prepare_multimodal_messages, vision data sets -------------------------------------------


def test_trl_rows(opened: Opened) -> None:
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


# --- AnyMAL ---------------------------------------------------------------------------------------


def test_our_own_rows_are_as_they_are(opened: Opened) -> None:
    messages = chat("Hi.", "Hello.", loss=False)
    rows = opened([{"messages": messages, "images": ["a"], "id": 3, "meta": {"answer": "x"}}])
    assert rows[0] == {"messages": messages, "images": ["a"], "id": 3, "meta": {"answer": "x"}}


def test_a_prompt_takes_the_columns_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text('file,words\na.png,"A dog, barking."\n')
    columns = {"image": "file", "text": "words"}
    rows = open_rows(
        DataRecipe(manifest=str(path), prompt="describe_image", columns=columns, suffix="short")
    )
    assert read(rows)[0][1][1] == ("image_url", "a.png")
    assert read(rows)[1:] == [
        (
            "user",
            "Describe the image.\nAnswer the question using a single word or phrase.",
        ),
        ("assistant", "A dog, barking."),
    ]
    with pytest.raises(DataError, match="whole conversations already; leave prompt out"):
        open_rows(DataRecipe(manifest=str(path), format="llava", prompt="describe_image"))
