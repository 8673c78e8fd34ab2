"""Rows in the shapes of LLaMA-Factory's data/README.md and its mllm demos."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataRecipe

Opened = Callable[..., Rows]
Read = Callable[..., list[tuple[str, Any]]]


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
    opened: Opened, info: Opened, tmp_path: Path, read: Read
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


def test_sharegpt_tags_and_columns_have_the_names_of_the_description(
    info: Opened, read: Read
) -> None:
    row = {
        "chat": [{"from": "Q", "value": "Hi."}, {"from": "A", "value": "Hello."}],
        "sys": "Be brief.",
    }
    expected = [("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello.")]
    assert read(info([row], "plain")) == expected
    own = [{"from": "system", "value": "Be long."}, *row["chat"]]  # goes before the column
    assert read(info([{**row, "chat": own}], "plain"))[0] == ("system", "Be long.")


def test_alpaca_rows_of_llama_factory(info: Opened, read: Read) -> None:
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


def test_columns_that_are_not_read_are_named(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    opened([{**DEMO, "source": "web"}], format="sharegpt")[0]
    assert [record.message.partition(": ")[2] for record in caplog.records] == ["not read: source"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("rows.json", "own is 'rows.json'; it should be an object"),
        ({"file_name": "rows.json", "columns": "messages"}, "own has the columns 'messages'"),
        ({"file_name": "rows.json", "tags": ["role"]}, r"own has the tags \['role'\]"),
        ({"file_name": 3}, "the file_name 3; it should be"),
        ({"file_name": "rows.json", "formatting": ["sharegpt"]}, r"formatting \['sharegpt'\]"),
    ],
)
def test_an_entry_of_another_shape_is_refused(tmp_path: Path, entry: Any, message: str) -> None:
    info = tmp_path / "dataset_info.json"
    info.write_text(json.dumps({"own": entry}))
    with pytest.raises(DataError, match=message):
        open_rows(DataRecipe(manifest=str(info), format="sharegpt", split="own"))
