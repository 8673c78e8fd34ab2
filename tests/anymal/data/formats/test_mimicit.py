"""MIMIC-IT: triplets to turns, images from JSON and Parquet."""

import base64
from pathlib import Path

import pytest

from anymal.errors import DataError
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
        *("[][]And this one?", "Green.", "What colour is it?", "Red.")
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
