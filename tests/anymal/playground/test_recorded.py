import json
from pathlib import Path

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.scoring import is_right, read_expected
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.playground import recorded, variation
from anymal.playground.archives import HELD_OUT_PEOPLE, Stretch, load_activities, load_digits
from anymal.protocol.conversation import TextPart, read_conversation

SOURCES = (
    "digits",
    "activities",
    "signs",
    "clothing",
    "sign_clips",
    "sign_and_speech",
    "larger_digit",
)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_records_decode_and_answer_themselves(name: str, split: str, recordings: Path) -> None:
    for record in getattr(recorded, name)(data=str(recordings), split=split, size=12):
        assert is_right(record["messages"][-1]["content"], read_expected(record))
        for part in read_conversation(record).messages[0].parts:
            if isinstance(part, TextPart):
                continue
            (row,) = (row for row in MODALITIES.values() if part.type in row.part_types)
            medium = read_medium(part, limits=Limits(), base_dir=None)
            assert row.decode(medium, Limits(), **dict.fromkeys(row.hints, 8)) is not None


@pytest.mark.parametrize(
    ("shown", "part_type", "told"),
    [("image", "image_url", "Sound: a voice saying "), ("audio", "input_audio", "Image: a hand ")],
)
def test_sign_or_speech_is_told_in_words(
    shown: str, part_type: str, told: str, recordings: Path
) -> None:
    data = str(recordings)
    for record in recorded.sign_and_speech(data=data, split="train", size=10, shown=shown):
        media = record["messages"][0]["content"][:2]
        assert {part["type"] for part in media} == {part_type, "text"}
        assert next(part["text"] for part in media if "text" in part).startswith(told)


@pytest.mark.parametrize(
    ("name", "choices"),
    [("sign_and_speech", ("yes", "no")), ("larger_digit", ("hand sign", "spoken digit", "equal"))],
)
def test_held_out_signs_with_speech_ask_one_thing(
    name: str, choices: tuple[str, ...], recordings: Path
) -> None:
    records = getattr(recorded, name)(data=str(recordings), split="heldout", size=30)
    expected = [read_expected(record) for record in records]
    assert {want.choices for want in expected} == {choices}
    assert {want.answer for want in expected} == set(choices)


def test_sign_and_speech_refuse_to_show_what_they_do_not_have(recordings: Path) -> None:
    with pytest.raises(DataError, match="unknown shown='imu'; known: image, audio"):
        recorded.sign_and_speech(data=str(recordings), split="train", shown="imu")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("digits", "a voice saying "),
        ("activities", "a person "),
        ("signs", "a hand sign showing "),
        ("clothing", "a piece of clothing: "),
        ("sign_clips", "hand signs, "),
    ],
)
def test_recordings_are_told_in_words(name: str, start: str, recordings: Path) -> None:
    for split in ("train", "heldout"):
        records = getattr(recorded, name)(data=str(recordings), split=split, size=8, style="told")
        for record in records:
            told = record["messages"][1]["content"]
            assert told.startswith(start)
            wanted = record["meta"].get("all_of", [record["meta"]["answer"]])
            assert all(word in told for word in wanted)


def test_splits_share_no_recording(recordings: Path) -> None:
    train, held_out = (load_digits(recordings, split) for split in ("train", "heldout"))
    assert len(train.items) == 20
    assert len(held_out.items) == 10
    seen = {item.tobytes() for item in train.items}
    assert not any(item.tobytes() in seen for item in held_out.items)


def test_one_speaker_may_be_held_out_altogether(recordings: Path) -> None:
    speakers = {path.stem.split("_")[1] for path in (recordings / "fsdd" / "recordings").iterdir()}
    unheard = sorted(speakers)[0]
    train, held_out = (
        load_digits(recordings, split, unheard=unheard) for split in ("train", "heldout")
    )
    files = (recordings / "fsdd" / "recordings").glob(f"*_{unheard}_*.wav")
    assert len(held_out.items) == len(list(files)) > 0
    assert len(train.items) == 30 - len(held_out.items)  # other speakers' last takes train too
    seen = {item.tobytes() for item in train.items}
    assert not any(item.tobytes() in seen for item in held_out.items)
    with pytest.raises(DataError, match=f"no speaker 'nobody'; there are .*{unheard}"):
        recorded.digits(data=str(recordings), split="train", unheard="nobody")


def test_held_out_motion_is_of_other_people_in_windows_of_one_length(recordings: Path) -> None:
    held_out = load_activities(recordings, "heldout")
    assert 28 in HELD_OUT_PEOPLE
    assert {stretch.end - stretch.start for stretch in held_out.items} == {128}
    # Two whole windows fit into a long stretch; a short one gives one.
    assert held_out.labels == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11)


def test_held_out_recordings_are_left_as_they_are(recordings: Path) -> None:
    one, two = (
        json.dumps(
            recorded.signs(data=str(recordings), split="heldout", seed=seed)[3]["messages"][0]
        )
        for seed in (0, 1)
    )
    picture = [text.split('"url": "')[1].split('"')[0] for text in (one, two)]
    assert picture[0] == picture[1]


def test_training_varies_a_recording_at_every_draw(recordings: Path) -> None:
    records = recorded.digits(data=str(recordings), split="train", size=40)
    sounds = {record["messages"][0]["content"][0]["input_audio"]["data"] for record in records}
    assert len(sounds) == 40


def test_variation_of_motion_turns_gravity_a_little_and_keeps_its_size() -> None:
    still = np.tile(np.float32([0, 0, 1, 0, 0, 0]), (1000, 1))
    stretch = Stretch(samples=still, start=0, end=1000)
    means = [
        variation.vary_motion(stretch, 128, np.random.default_rng(seed))[:, :3].mean(axis=0)
        for seed in range(40)
    ]
    sizes = np.linalg.norm(means, axis=1)
    assert sizes.min() > 0.9
    assert sizes.max() < 1.1
    assert np.std([mean[2] / size for mean, size in zip(means, sizes, strict=True)]) > 0.001


def test_variation_of_motion_wears_the_phone_at_other_sides_but_upright() -> None:
    def directions(still: list[float]) -> np.ndarray:
        samples = np.tile(np.float32([*still, 0, 0, 0]), (1000, 1))
        stretch = Stretch(samples=samples, start=0, end=1000)
        means = [
            variation.vary_motion(stretch, 128, np.random.default_rng(seed))[:, :3].mean(axis=0)
            for seed in range(200)
        ]
        return np.array([mean / np.linalg.norm(mean) for mean in means])

    standing, lying = directions([1, 0, 0]), directions([0, 0, 1])
    assert (standing[:, 0] > 0.8).all()
    assert 0.1 < (lying[:, 2] < 0.5).mean() < 0.35
    assert (lying[:, 2] < -0.8).any()


def test_missing_folder_says_how_to_name_it() -> None:
    with pytest.raises(DataError, match="set ANYMAL_DATA to the folder"):
        recorded.signs(data="no/such/folder", split="train")


def test_incomplete_folder_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fsdd.recordings is missing"):
        recorded.digits(data=str(tmp_path), split="train")
