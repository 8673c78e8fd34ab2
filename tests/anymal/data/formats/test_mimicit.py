"""MIMIC-IT: triplets to turns, images from JSON and Parquet."""

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from anymal.chat.segments import MediaSegment, Segment, TextSegment, Turn
from anymal.chat.template import build_template
from anymal.errors import DataError
from anymal.protocol.conversation import read_conversation
from tests.anymal.data import examples
from tests.anymal.data.examples import png, write_json
from tests.anymal.data.reading import media, opened, words


def test_mimicit_puts_related_triplets_first_and_shows_each_image_once(tmp_path: Path) -> None:
    rows = opened(examples.mimicit(tmp_path))
    assert words(rows[1]) == [
        *("user: []What colour is it?", "assistant: Red."),
        *("user: []And this one?", "assistant: Green."),
    ]
    assert media(rows[1]) == [png(0), png(1)]
    assert (len(rows), rows[1]["id"]) == (2, "LA_INS_2")
    assert rows.where(1).endswith("LA_instructions.json:LA_INS_2")


def test_mimicit_trains_on_the_ids_of_its_list(tmp_path: Path) -> None:
    entry = examples.mimicit(tmp_path)
    write_json(tmp_path / "LA_train.json", {"LA_INS_1": ["LA_INS_2"], "LA_INS_9": []})
    rows = opened(entry)
    assert [line.partition(": ")[2] for line in words(rows[0])] == [
        *("[][]And this one?", "Green.", "[]What colour is it?", "Red.")
    ]
    with pytest.raises(
        DataError, match=r"LA_train.json:LA_INS_9: .* has no instruction 'LA_INS_9'"
    ):
        rows[1]


@pytest.mark.parametrize("name", ["id", "__index_level_0__"])
def test_mimicit_finds_images_in_parquet(tmp_path: Path, name: str) -> None:
    entry = examples.mimicit(tmp_path)
    (tmp_path / "LA.json").unlink()
    folder = tmp_path / "LA.parquet"
    folder.mkdir()
    for n in (1, 2):
        columns = {"base64": [base64.b64encode(png(n - 1)).decode()], name: [f"LA_IMG_{n}"]}
        examples.pq.write_table(examples.pa.table(columns), folder / f"part.{n}.parquet")
    assert media(opened(entry, media=str(folder))[1]) == [png(0), png(1)]


def test_mimicit_names_an_image_that_is_nowhere(tmp_path: Path) -> None:
    entry = examples.mimicit(tmp_path)
    write_json(tmp_path / "LA.json", {"LA_IMG_1": ""})
    with pytest.raises(DataError, match="LA_INS_2: image 'LA_IMG_2' is in none of the 1 files"):
        opened(entry)[1]


def test_mimicit_joins_the_frames_of_a_video(tmp_path: Path) -> None:
    rows = opened(examples.mimicit(tmp_path), columns={"video": "image_ids"})
    kinds = [part["type"] for part in rows[1]["messages"][0]["content"]]
    assert kinds == ["video_url", "text"]


def write_triplets(folder: Path, images: dict[str, list[int]], related: list[str]) -> Any:
    """Instructions about images; the last one is trained on, with its related ones."""
    names = list(images)
    data = {
        name: {
            "instruction": f"Q{name}?",
            "answer": f"A{name}.",
            "image_ids": [f"LA_IMG_{number}" for number in shown],
            "rel_ins_ids": related if name == names[-1] else [],
        }
        for name, shown in images.items()
    }
    write_json(folder / "LA_instructions.json", {"data": data})
    return opened({"manifest": str(folder / "LA_instructions.json"), "format": "mimicit"})


@pytest.mark.parametrize(
    ("images", "shown"),
    [
        ({"1": [1], "2": [2], "3": [1]}, [0, 1, 0]),  # another one came between
        ({"1": [1], "2": [1], "3": [1]}, [0]),
        ({"1": [1, 2], "2": [2], "3": [1, 2]}, [0, 1]),
        ({"1": [1], "2": [1, 2], "3": [2, 1]}, [0, 1, 0]),
    ],
)
def test_mimicit_shows_an_image_again_behind_others(
    tmp_path: Path, images: dict[str, list[int]], shown: list[int]
) -> None:
    examples.mimicit(tmp_path)
    assert media(write_triplets(tmp_path, images, ["1", "2"])[2]) == [png(each) for each in shown]


def test_mimicit_in_otter_s_format_learns_the_answers_of_context_and_query(
    tmp_path: Path, checkpoints: SimpleNamespace
) -> None:
    """B1 of the methods: context first, in the released order; as many `<image>` as images."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    tokenizer.add_tokens(["<image>", "<answer>", "<|endofchunk|>"], special_tokens=True)
    examples.mimicit(tmp_path)
    rows = write_triplets(tmp_path, {"1": [1], "2": [2], "3": [1]}, ["2", "1"])
    turns = []
    for message in read_conversation(rows[2]).messages:
        content: list[Segment] = [
            TextSegment(text=part.text)
            if part.type == "text"
            else MediaSegment(modality="image", index=0, prefix="<image>")
            for part in message.parts
        ]
        turns.append(Turn(role=message.role, content=tuple(content)))  # type: ignore[arg-type]
    segments = build_template("otter", tokenizer).render(turns, generate=False)
    text = "".join(each.text for each in segments if isinstance(each, TextSegment))
    assert text == (
        "<s><image>User:Q2? GPT:<answer>A2.<|endofchunk|>"
        "<image>User:Q1? GPT:<answer>A1.<|endofchunk|>"
        "User:Q3? GPT:<answer>A3.<|endofchunk|></s>"
    )
    learnt = [each.text for each in segments if isinstance(each, TextSegment) and each.is_target]
    assert "".join(learnt) == "A2.<|endofchunk|>A1.<|endofchunk|>A3.<|endofchunk|></s>"
    assert sum(isinstance(each, MediaSegment) for each in segments) == text.count("<image>") == 2
