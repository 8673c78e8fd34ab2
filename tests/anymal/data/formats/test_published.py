"""Formats of whole files: what the first rows of each published example become."""

import base64
import logging
from pathlib import Path
from typing import Any

import pytest

from anymal.data.registry import open_rows
from anymal.data.rows import Record, Rows
from anymal.errors import DataError
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.schema import DataRecipe
from tests.anymal.data import examples
from tests.anymal.data.examples import UID, narration, png, wav, write_json, write_table, write_tar

IMAGE, AUDIO = PROMPTS["describe_image"], PROMPTS["audio"]


def opened(entry: examples.Entry, **changes: Any) -> Rows:
    return open_rows(DataRecipe(**(entry | changes)))


def all_of(rows: Rows) -> list[Record]:
    return [rows[n] for n in range(len(rows))]


def media(record: Record) -> list[Any]:
    """URLs of the media; data URLs as bytes."""
    parts = [
        part
        for message in record["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] != "text"
    ]
    urls = [part[part["type"]]["url"] for part in parts]
    return [
        base64.b64decode(url.partition(",")[2]) if url.startswith("data:") else url for url in urls
    ]


def words(record: Record) -> list[str]:
    """The role and the words of each message."""
    return [f"{message['role']}: {_text(message['content'])}" for message in record["messages"]]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else "[]" for part in content)


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
        *("[][]And this one?", "Green.", "What colour is it?", "Red.")
    ]
    with pytest.raises(DataError, match=r"LA_train.json:LA_INS_9: .* has no instruction LA_INS_9"):
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


@pytest.mark.parametrize("save", [examples.hf_saved, examples.hf_parquet])
def test_hf_reads_features_of_media_and_of_labels(tmp_path: Path, save: Any) -> None:
    rows = opened(save(tmp_path))
    assert len(rows) == 3
    assert words(rows[2]) == ["user: []Which colour has picture 2?", "assistant: blue"]
    assert media(rows[2]) == [png(2)]


@pytest.mark.parametrize("save", [examples.hf_saved, examples.hf_parquet])
def test_hf_asks_which_of_several_splits(tmp_path: Path, save: Any) -> None:
    entry = save(tmp_path)
    assert words(opened(entry, split="test")[0])[0].startswith("user: []Which colour")
    with pytest.raises(DataError, match="name one as split"):
        opened(entry, split=None)
    with pytest.raises(DataError, match="split is 'dev'; name one of them"):
        opened(entry, split="dev")


def test_hf_takes_one_split_of_a_saved_data_set(tmp_path: Path) -> None:
    entry = examples.hf_saved(tmp_path)
    assert len(opened(entry, manifest=str(tmp_path / "test"), split=None)) == 1
    with pytest.raises(DataError, match="without splits; leave split out"):
        opened(entry, manifest=str(tmp_path / "test"), split="test")


def test_hf_fetches_a_revision_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def fake(name: str, *, repo_type: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, repo_type, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("anymal.data.containers.hub.snapshot_download", fake)
    entry = examples.hf_parquet(tmp_path)
    assert len(opened(entry, manifest="org/pictures@v1.0")) == 3
    assert asked == [("org/pictures", "dataset", "v1.0", ["*train*.parquet"])]


def test_hf_says_what_the_hub_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="data set 'org/none' at revision 'main' cannot be fetched"):
        opened({"manifest": "org/none@main", "format": "hf"})


def hf_table(folder: Path, rows: list[dict[str, Any]]) -> examples.Entry:
    examples.pq.write_table(examples.pa.Table.from_pylist(rows), folder / "a.parquet")
    return {"manifest": str(folder / "a.parquet"), "format": "hf"}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (
            {
                "images": [{"bytes": b"a", "path": None}, {"bytes": b"b", "path": None}],
                "messages": [
                    {"role": "user", "content": "Compare <image> with <image>."},
                    {"role": "assistant", "content": "Same."},
                ],
            },
            ["user: Compare [] with [].", "assistant: Same."],
        ),
        (
            {
                "image": {"bytes": b"a", "path": None},
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat?"},
                    {"from": "gpt", "value": "This."},
                ],
            },
            ["user: []What?", "assistant: This."],
        ),
        (
            {"audio": {"bytes": b"a", "path": "a.wav"}, "prompt": "What?", "completion": "A bird."},
            ["user: []What?", "assistant: A bird."],
        ),
        (
            {"audio": {"bytes": b"a", "path": None}, "caption": "A bird sings."},
            [f"system: {AUDIO.system}[]", f"user: {AUDIO.user}", "assistant: A bird sings."],
        ),
    ],
)
def test_hf_knows_the_usual_columns(tmp_path: Path, row: dict[str, Any], found: list[str]) -> None:
    assert words(opened(hf_table(tmp_path, [row]))[0]) == found


def test_hf_takes_other_columns_by_name_and_a_prompt(tmp_path: Path) -> None:
    rows = [{"photo": {"bytes": b"a", "path": None}, "q": "Is it red?", "a": "Yes", "rest": 1}]
    named = {"image": "photo", "question": "q", "answer": "a"}
    record = opened(hf_table(tmp_path, rows), columns=named, prompt="vqa")[0]
    assert words(record)[1:] == [
        "user: In the image, Is it red? Reply in one word.",
        "assistant: Yes",
    ]
    assert media(record) == [b"a"]
    with pytest.raises(DataError, match=r"a.parquet:1: the row has photo, q, a, rest: neither"):
        opened(hf_table(tmp_path, rows))[0]


def test_hf_reads_paths_below_media(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": None, "path": "p/1.png"}, "text": "A square."}]
    found = opened(hf_table(tmp_path, rows), media="/data")
    assert media(found[0]) == ["p/1.png"]
    assert found.base_dir == Path("/data")


def test_webdataset_joins_shards(tmp_path: Path) -> None:
    rows = opened(examples.webdataset(tmp_path))
    assert len(rows) == 4
    assert words(rows[3]) == [
        f"system: {IMAGE.system}[]",
        f"user: {IMAGE.user}",
        "assistant: Picture 3",
    ]
    assert (media(rows[3]), rows[3]["id"]) == ([png(3)], "00003")


def test_webdataset_takes_the_row_of_json(tmp_path: Path) -> None:
    members = {
        "a.0.wav": wav(0),
        "a.1.wav": wav(1),
        "a.json": b'{"question": "<audio> or <audio>?", "reply": "The first."}',
        "b.json": b"[1]",
    }
    entry = {"manifest": str(write_tar(tmp_path / "a.tar", members)), "format": "webdataset"}
    rows = opened(entry, columns={"answer": "reply"})
    assert words(rows[0]) == ["user: [] or []?", "assistant: The first."]
    assert media(rows[0]) == [wav(0), wav(1)]
    with pytest.raises(DataError, match=r"a.tar:b: a record is an object, not list"):
        rows[1]


def test_audiocaps_finds_sounds_by_any_name(tmp_path: Path) -> None:
    rows = opened(examples.audiocaps(tmp_path))
    assert [media(record)[0] for record in all_of(rows)] == [
        *("r1nicOVtvkQ_130.wav", "YsDSppXIlJrs.wav", "7fmOlUlwoNg.wav")
    ]
    assert words(rows[2]) == [
        f"system: {AUDIO.system}[]",
        "user: Describe the sound.",
        "assistant: Constant rattling noise, with sharp vibrations",
    ]


def test_audiocaps_refuses_other_tables(tmp_path: Path) -> None:
    entry = examples.audiocaps(tmp_path)
    write_table(tmp_path / "train.csv", ["id", "caption"], [[1, "x"]])
    with pytest.raises(DataError, match="missing: audiocap_id, youtube_id, start_time"):
        opened(entry)


def test_clotho_makes_a_record_of_each_caption(tmp_path: Path) -> None:
    rows = opened(examples.clotho(tmp_path))
    assert len(rows) == 10
    assert words(rows[6])[2] == "assistant: Paper is heard, said person 1"
    assert media(rows[4]) == ["Distorted AM Radio noise.wav"]
    assert rows.where(6).endswith("clotho_captions_development.csv:2:caption_2")


def test_audioset_writes_the_names_of_labels(tmp_path: Path) -> None:
    rows = opened(examples.audioset(tmp_path))
    answers = [words(record)[2] for record in all_of(rows)]
    assert answers == ["assistant: Speech; Male speech, man speaking", "assistant: Music"]
    assert media(rows[1]) == ["Y--ZhevVpy1s_50.000.wav"]


def test_audioset_names_a_label_without_a_name(tmp_path: Path) -> None:
    entry = examples.audioset(tmp_path)
    write_table(tmp_path / "class_labels_indices.csv", ["mid", "display_name"], [["/m/09x0r", "x"]])
    with pytest.raises(DataError, match=r"segments.csv:2: /m/04rlf is not in class_labels"):
        opened(entry)[1]


def times(record: Record) -> tuple[float, float, int]:
    lines = media(record)[0].decode().splitlines()[1:]
    stamps = [float(line.partition(",")[0]) for line in lines]
    return stamps[0], stamps[-1], len(stamps)


def test_ego4d_pairs_narrations_with_windows_on_whole_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = opened(examples.ego4d(tmp_path))
    assert [words(record)[2] for record in all_of(rows)] == [
        "assistant: picks up a something",
        "assistant: walks around the room",
        "assistant: looks around",
    ]
    # 1.5 s: from the beginning; 6.9 s: 4.4 to 9.4, floored; 11.8 s: up to the end, 12 s.
    assert [times(record) for record in all_of(rows)] == [
        *((0, 4980, 250), (4000, 8980, 250), (7000, 11980, 250))
    ]
    assert "narrations left out: 1 about other people" in caplog.text
    assert rows.where(2).endswith(f"narration.json:{UID}:4")


def test_ego4d_leaves_out_bad_windows_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = examples.ego4d(tmp_path)
    write_json(tmp_path / "bad_imu_windows_2.5.json", [[UID, 4, 9], ["another", 0, 5]])
    with caplog.at_level(logging.WARNING):
        assert len(opened(entry)) == 2
    assert "1 without a good window" in caplog.text


def test_ego4d_counts_videos_without_a_recording(tmp_path: Path) -> None:
    notes = [narration(3.0, "#C C sits", 1)] * 3
    path = write_json(
        tmp_path / "narration.json", {"x": {"narration_pass_1": {"narrations": notes}}}
    )
    with pytest.raises(DataError, match="left out: 3 without a recording; give the folder"):
        opened({"manifest": str(path), "format": "ego4d"})


def test_ego4d_reports_a_hole_in_a_recording(tmp_path: Path) -> None:
    entry = examples.ego4d(tmp_path)
    lines = (tmp_path / f"{UID}.csv").read_text().splitlines()
    (tmp_path / f"{UID}.csv").write_text("\n".join([*lines[:230], *lines[350:]]))
    rows = opened(entry)
    assert times(rows[2])[2] == 250
    with pytest.raises(DataError, match=r":3: of 4 to 9 s, .* has 130 samples, and 2.4 s w"):
        rows[1]


def test_a_folder_has_its_words_in_a_table(tmp_path: Path) -> None:
    rows = opened(examples.folder_with_table(tmp_path))
    assert words(rows[0])[2] == "assistant: A red, plain square"
    assert media(rows[0]) == ["0.png"]


def test_a_folder_may_name_several_files_in_a_row(tmp_path: Path) -> None:
    files = {"image_file_name": "1.png", "audio_file_names": ["a.wav", "b.wav"]}
    write_json(tmp_path / "metadata.jsonl", files | {"question": "?", "answer": "x"})
    record = opened({"manifest": str(tmp_path), "format": "folder"})[0]
    assert media(record) == ["1.png", "a.wav", "b.wav"]


def test_a_folder_without_a_table_has_labels(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    examples.folder_with_labels(tmp_path / "train")
    rows = opened({"manifest": str(tmp_path), "format": "folder", "split": "train"})
    assert [(media(one), words(one)[2]) for one in all_of(rows)] == [
        (["green/1.wav"], "assistant: green"),
        (["red/1.wav"], "assistant: red"),
    ]
    assert rows.base_dir == tmp_path / "train"
    with pytest.raises(DataError, match=r"neither metadata.csv.* name one as split"):
        opened({"manifest": str(tmp_path), "format": "folder"})


def test_a_prompt_goes_around_captions_and_not_around_conversations(tmp_path: Path) -> None:
    record = opened(examples.audiocaps(tmp_path), prompt="audio")[0]
    assert words(record)[1] == "user: Describe the sound."
    (tmp_path / "m").mkdir()
    with pytest.raises(DataError, match="whole conversations already; leave prompt out"):
        opened(examples.mimicit(tmp_path / "m"), prompt="audio")
