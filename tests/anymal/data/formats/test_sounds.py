"""AudioCaps, Clotho and AudioSet: tables to captions of sounds that are there."""

from pathlib import Path

import pytest

from anymal.errors import DataError
from anymal.recipe.prompts import PROMPTS
from tests.anymal.data import examples
from tests.anymal.data.examples import write_table
from tests.anymal.data.reading import all_of, media, opened, words

AUDIO = PROMPTS["audio"]


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


def test_a_prompt_goes_around_captions_and_not_around_conversations(tmp_path: Path) -> None:
    record = opened(examples.audiocaps(tmp_path), prompt="audio")[0]
    assert words(record)[1] == "user: Describe the sound."
    (tmp_path / "m").mkdir()
    with pytest.raises(DataError, match="whole conversations already; leave prompt out"):
        opened(examples.mimicit(tmp_path / "m"), prompt="audio")
