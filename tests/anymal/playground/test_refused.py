"""Refusals and near misses: what is said fits what came and what was asked."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from anymal.evaluation.scoring import is_right, read_expected
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.playground import outside_heldout, outside_train, refused, refused_records
from anymal.playground.outside import WORDINGS, draw_outside_text, kinds_in
from anymal.playground.refusals import OUTSIDE, is_refusal, say_absent, say_other_kind
from anymal.playground.refused import Talk
from anymal.playground.topics import PLAYGROUND, RECORDED
from anymal.protocol.conversation import TextPart, read_conversation

SOURCES = ("refused_absent", "refused_kind", "refused_outside", "near_misses", "false_refusals")
# What a question says that is about one sense alone.
NAMES = {
    "image": r"picture|image",
    "video": r"video|clip|in order|first|last|moving|moves?\b",
    "audio": r"sound|hear|voice|beeps?\b|spoken|said|speaker|tone|pitch|audio",
    "imu": r"phone|sensor|pace|activity|person|wearer|user|motion",
}


def talks(draw: Callable[[np.random.Generator], Talk], count: int = 400) -> list[Talk]:
    rng = np.random.default_rng(0)
    return [draw(rng) for _ in range(count)]


def came(talk: Talk) -> list[str]:
    return [medium.topic.modality for turn in talk for medium in turn.media]


def test_the_sentences_are_those_that_were_asked_for() -> None:
    assert say_absent({"audio"}) == "No sound came with this question."
    assert say_absent({"audio", "image"}) == "No picture or sound came with this question."
    assert say_absent({"imu"}) == "No motion recording came with this question."
    assert say_other_kind("image", "audio") == "That is a picture; there is nothing to hear in it."
    assert say_other_kind("video", "image") == "That is a clip; it is not a picture."
    every = [OUTSIDE, *(say_absent({one}) for one in NAMES)]
    every += [say_other_kind(one, other) for one in NAMES for other in NAMES if one != other]
    # Neither a sound nor a motion recording can be seen, as a picture or as a clip.
    assert len(set(every)) == 1 + 4 + 10
    assert all(is_refusal(sentence) for sentence in every)


def test_no_answer_is_taken_for_a_refusal() -> None:
    rng = np.random.default_rng(0)
    for topic in PLAYGROUND + RECORDED:
        for _ in range(100):
            assert not is_refusal(topic.ask(topic.draw(rng), rng).answer)


def test_what_is_said_to_be_absent_did_not_come() -> None:
    kinds = set()
    for talk in talks(refused.draw_absent):
        answer = talk[-1].question.answer
        (missing,) = re.findall(r"No (.*) came with this question\.", answer)
        names = {"picture": "image", "clip": "video", "sound": "audio", "motion recording": "imu"}
        asked = {names[noun] for noun in missing.split(" or ")}
        assert not asked & set(came(talk)), talk
        kinds.add((len(talk), len(came(talk)), len(asked)))
    assert kinds == {(1, 0, 1), (1, 0, 2), (1, 1, 1), (1, 2, 1), (2, 2, 1)}


def test_another_kind_is_named_as_what_it_is() -> None:
    seen = set()
    for talk in talks(refused.draw_other_kind, 1500):
        (modality,) = came(talk)
        question = talk[-1].question
        asked = {
            other
            for other in NAMES
            if other != modality and question.answer == say_other_kind(modality, other)
        }
        assert asked, question
        # Words that belong to the medium that came would make the question one about it.
        if modality == "audio":
            assert not re.search(NAMES["audio"], question.text.lower()), question.text
        seen |= {(modality, other) for other in asked}
    assert len(seen) == 12


@pytest.mark.parametrize(
    ("text", "asked", "other"),
    [
        ("What colour is the circle?", "video", "image"),
        ("What do you see?", "image", "video"),
        ("What is this?", "image", "audio"),
        ("What happens", "video", "imu"),
        ("what is going on in this recording?", "imu", "audio"),
        ("Describe the motion.", "imu", "video"),
    ],
)
def test_a_question_that_what_came_may_answer_is_not_refused(
    text: str, asked: str, other: str
) -> None:
    assert refused.could_be_about(text, asked, other)


def test_questions_are_those_of_the_topics() -> None:
    """Without a medium, only its absence tells: the words occur in answered questions too."""

    def plain(text: str) -> str:
        text = re.sub(
            "^(please tell me: |tell me: |question: |can you tell me: |please answer. )",
            "",
            text.lower(),
        )
        return (
            re.sub(r"[?.]|answer .*|please answer briefly", "", text)
            .replace("color", "colour")
            .strip()
        )

    rng = np.random.default_rng(1)
    asked = {
        plain(topic.ask(topic.draw(rng), rng).text)
        for topic in PLAYGROUND + RECORDED
        for _ in range(400)
    }
    lone = [
        plain(talk[0].question.text)
        for talk in talks(refused.draw_absent)
        if len(talk) == 1 and not came(talk) and " or " not in talk[0].question.answer
    ]
    assert np.mean([text in asked for text in lone]) > 0.9  # some fillings are rare


def test_near_misses_are_answered_as_what_they_show_and_said() -> None:
    shapes = set()
    for talk in talks(partial(refused.draw_near_miss, split="train")):
        last = talk[-1]
        assert not is_refusal(last.question.answer)
        assert is_right(last.question.answer, read_expected({"meta": last.question.meta()}))
        assert came(talk), "something is there to be asked about"
        shapes.add(
            (len(talk), len(last.media), bool(last.told), is_refusal(talk[0].question.answer))
        )
    assert shapes == {
        (1, 2, True, False),  # one medium told, one shown
        (1, 1, True, False),  # told alone
        (2, 0, False, False),  # again about the first turn's
        (2, 1, False, True),  # it comes after it was missed
        (2, 0, False, True),  # after a question about something else
        (1, 2, False, False),
    }


def test_held_out_wordings_and_fillings_never_occur_in_training() -> None:
    def templates(module: object) -> set[str]:
        found = {*module.ALONE, *(text for texts in module.SHOWN.values() for text in texts)}  # type: ignore[attr-defined]
        return {" ".join(re.findall(r"[a-z{}]+", text.lower())) for text in found}

    assert not templates(outside_train) & templates(outside_heldout)
    for kind, words in outside_heldout.FILLINGS.items():
        assert not {w.lower() for w in words} & {w.lower() for w in outside_train.FILLINGS[kind]}
    held_out = {
        word.lower()
        for words in outside_heldout.FILLINGS.values()
        for word in words
        if len(word) > 3 and word not in ("three", "nine")
    }
    rng = np.random.default_rng(0)
    modalities = [None, *NAMES]
    seen = [
        draw_outside_text(rng, "train", modality, about_it=True)
        for _ in range(600)
        for modality in modalities
    ]
    text = "\n".join(seen).lower()
    leaked = {word for word in held_out if re.search(rf"\b{re.escape(word)}\b", text)}
    assert not leaked


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_template_can_be_filled(split: str) -> None:
    wordings = WORDINGS[split]  # type: ignore[index]
    templates = [*wordings.alone, *(text for texts in wordings.shown.values() for text in texts)]
    used = {kind for template in templates for kind in kinds_in(template)}
    assert used == set(wordings.fillings)
    assert set(wordings.shown) == set(MODALITIES)
    assert all(text.isascii() for text in templates)


@pytest.mark.parametrize("with_recordings", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_records_are_deterministic_decode_and_answer_themselves(
    name: str, with_recordings: bool, recordings: Path
) -> None:
    data = str(recordings) if with_recordings else ""
    make = getattr(refused_records, name)
    for split in ("train", "heldout"):
        records = make(split=split, size=8, data=data)
        for index, record in enumerate(records):
            assert json.dumps(record) == json.dumps(records[index])
            assert is_right(record["messages"][-1]["content"], read_expected(record))
            for message in read_conversation(record).messages:
                for part in message.parts:
                    if not isinstance(part, TextPart):
                        (row,) = (row for row in MODALITIES.values() if part.type in row.part_types)
                        medium = read_medium(part, limits=Limits(), base_dir=None)  # type: ignore[arg-type]
                        hints = dict.fromkeys(row.hints, 4)
                        assert row.decode(medium, Limits(), **hints) is not None
    first, other = (make(split=split, size=1, data=data)[0] for split in ("train", "heldout"))
    assert first["messages"] != other["messages"]


def test_records_state_the_licence_of_what_is_generated() -> None:
    made = refused_records.refused_absent, refused_records.false_refusals
    assert {source(split="train", size=1).licence for source in made} == {"Apache-2.0"}


def test_what_must_be_answered_is_not_a_refusal() -> None:
    for record in refused_records.false_refusals(split="heldout", size=40):
        assert not is_refusal(record["messages"][-1]["content"])
        want = read_expected(record)
        assert is_right("The hand shows nine.", want)
        assert not is_right(OUTSIDE, want)
        assert not is_right("", want)
