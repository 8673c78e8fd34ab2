import hashlib
import json

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.scoring import is_right, read_expected
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.playground import sources
from anymal.playground.clips import draw_order
from anymal.playground.scenes import draw_several
from anymal.playground.topics import CLIP, MOTION, PREFIXES, SOUND, SUFFIX, Topic
from anymal.protocol.conversation import TextPart, read_conversation

SOURCES = {
    "scenes": sources.scenes,
    "lone_shapes": sources.lone_shapes,
    "several_shapes": sources.several_shapes,
    "clips": sources.clips,
    "shapes_in_turn": sources.shapes_in_turn,
    "sounds": sources.sounds,
    "motions": sources.motions,
    "mixed": sources.mixed,
    "shapes_and_beeps": sources.shapes_and_beeps,
    "either": sources.either,
    "later_turns": sources.later_turns,
}


def digest(record: dict) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("name", SOURCES)
def test_a_record_is_the_same_however_it_is_reached(name: str) -> None:
    records = SOURCES[name](split="train", size=6)
    assert [digest(record) for record in records] == [digest(records[i]) for i in range(6)]
    assert digest(records[-1]) == digest(records[5])
    assert [digest(record) for record in records[2:4]] == [digest(records[2]), digest(records[3])]


@pytest.mark.parametrize("name", SOURCES)
def test_splits_and_seeds_share_no_record(name: str) -> None:
    seen = [
        digest({"messages": record["messages"]})
        for split in ("train", "heldout")
        for seed in (0, 1)
        for record in SOURCES[name](split=split, size=8, seed=seed)
    ]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", SOURCES)
def test_the_given_answer_is_right_by_its_own_choices(name: str) -> None:
    for record in SOURCES[name](split="train", size=40):
        expected = read_expected(record)
        answer = record["messages"][-1]["content"]
        assert is_right(answer, expected), (answer, expected)


@pytest.mark.parametrize("name", SOURCES)
def test_media_decode_as_the_modality_they_claim(name: str) -> None:
    for record in SOURCES[name](split="heldout", size=5):
        conversation = read_conversation(record)
        parts = [part for part in conversation.messages[0].parts if not isinstance(part, TextPart)]
        assert 1 <= len(parts) <= 2
        for part in parts:
            (row,) = (row for row in MODALITIES.values() if part.type in row.part_types)
            medium = read_medium(part, limits=Limits(), base_dir=None)
            assert row.decode(medium, Limits(), **dict.fromkeys(row.hints, 4)) is not None


def test_unknown_split_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="unknown split 'test'; known: train, heldout"):
        sources.scenes(split="test", size=1)


def test_index_past_the_end_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        sources.scenes(split="train", size=3)[3]


def test_a_conversation_asks_several_questions_about_one_medium() -> None:
    one = sources.scenes(split="train", size=4)[3]["messages"]
    several = sources.scenes(split="train", size=4, questions=3)[3]["messages"]
    assert several[:2] == one
    assert [message["role"] for message in several] == ["user", "assistant"] * 3
    assert all(isinstance(message["content"], str) for message in several[1:])


def test_a_later_turn_shows_another_medium_and_is_the_one_that_is_scored() -> None:
    kinds = []
    for record in sources.later_turns(split="heldout", size=40):
        first, answer, second, scored = record["messages"]
        assert [m["role"] for m in (first, answer, second)] == ["user", "assistant", "user"]
        assert first["content"][0] != second["content"][0]
        assert is_right(scored["content"], read_expected(record))
        kinds.append(first["content"][0]["type"] == second["content"][0]["type"])
    assert 0.4 < sum(kinds) / len(kinds) < 0.9


@pytest.mark.parametrize("shown", list(PREFIXES))
def test_one_medium_of_a_pair_is_told_in_words(shown: str) -> None:
    part_types, told_first = MODALITIES[shown].part_types, 0
    for record in sources.mixed(split="train", size=20, shown=shown):
        *media, question = record["messages"][0]["content"]
        (medium,) = (part for part in media if part["type"] in part_types)
        (told,) = (part for part in media if part is not medium)
        prefix = next(prefix for prefix in PREFIXES.values() if told["text"].startswith(prefix))
        assert prefix != PREFIXES[shown]
        assert told["text"].endswith(SUFFIX)
        assert question["type"] == "text"
        told_first += media[0] is told
    assert 0 < told_first < 20


@pytest.mark.parametrize("name", ["scenes", "several_shapes"])
def test_a_scene_is_told_by_its_caption_without_the_sentence(name: str) -> None:
    told, captioned = (
        SOURCES[name](split="train", size=12, style=style) for style in ("told", "caption")
    )
    for one, other in zip(told, captioned, strict=True):
        assert one["messages"][0] == other["messages"][0]
        words = one["messages"][1]["content"]
        assert other["messages"][1]["content"] in (f"There is {words}.", f"There are {words}.")


@pytest.mark.parametrize(
    ("name", "topic"), [("clips", CLIP), ("sounds", SOUND), ("motions", MOTION)]
)
def test_what_is_told_is_a_description(name: str, topic: Topic) -> None:
    drawn = (topic.draw(np.random.default_rng(seed)) for seed in range(4000))
    descriptions = {topic.describe(facts) for facts in drawn}
    for record in SOURCES[name](split="train", size=12, style="told"):
        assert record["messages"][1]["content"] in descriptions


def test_a_modality_that_no_pair_has_is_refused() -> None:
    with pytest.raises(DataError, match="unknown shown='smell'; known: image, video, audio, imu"):
        sources.mixed(split="train", size=1, shown="smell")


def test_a_conversation_without_questions_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        sources.scenes(split="train", size=1, questions=0)


def test_several_shapes_are_two_or_three_different_ones() -> None:
    counts = []
    for seed in range(60):
        scene = draw_several(np.random.default_rng(seed))
        shapes = [thing.shape for thing in scene.things]
        assert len(set(shapes)) == len(shapes)
        counts.append(len(shapes))
    assert set(counts) == {2, 3}


def test_shapes_in_turn_are_two_or_three_different_ones() -> None:
    clips = [draw_order(np.random.default_rng(seed)) for seed in range(60)]
    assert {clip.kind for clip in clips} == {"order"}
    assert all(len(set(clip.shapes)) == len(clip.shapes) for clip in clips)
    counts = [len(clip.shapes) for clip in clips]
    assert set(counts) == {2, 3}
    assert counts.count(3) > counts.count(2)


def test_shapes_and_beeps_are_compared_in_either_order() -> None:
    records = list(sources.shapes_and_beeps(split="train", size=60))
    assert {record["meta"]["task"] for record in records} == {"mixed more", "mixed same count"}
    orders = [[part["type"] for part in r["messages"][0]["content"]][:-1] for r in records]
    both_ways = (["image_url", "input_audio"], ["input_audio", "image_url"])
    assert 15 < orders.count(both_ways[0]) < 45
    assert sum(map(orders.count, both_ways)) == 60
