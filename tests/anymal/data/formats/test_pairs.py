"""Rows in the shapes of published preference data, written by hand after their schemas."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from anymal.data.checks.talk import read_talk
from anymal.data.formats.halva import differing
from anymal.data.rows import Rows
from anymal.errors import DataError

Opened = Callable[..., Rows]
Read = Callable[..., list[tuple[str, Any]]]
Chat = Callable[..., list[dict[str, Any]]]

ASKED = [("user", [("image_url", "a.png"), "What is there?"])]
PAIR = {"chosen": "A cat.", "rejected": "A dog and a cat."}
PLAIN = {"image": "a.png", "question": "What is there?", **PAIR}


def turns(*words: str) -> list[dict[str, str]]:
    return [
        {"from": "gpt" if number % 2 else "human", "value": said}
        for number, said in enumerate(words)
    ]


def assert_pair(rows: Rows, read: Read, **more: Any) -> None:
    assert read(rows) == ASKED
    assert {name: one for name, one in rows[0].items() if name != "messages"} == PAIR | more
    assert read_talk(rows[0]).mistakes == ()


def test_rlaif_v_has_columns(opened: Opened, read: Read) -> None:
    row = PLAIN | {"idx": 7, "ds_name": "RLAIF-V", "origin_dataset": "COCO", "logps": "[]"}
    rows = opened([row], format="rlhf_v")
    assert_pair(rows, read, id="7", meta={"origin_dataset": "COCO"})


def test_rlhf_v_has_all_in_one_text(opened: Opened, read: Read) -> None:
    text = json.dumps({"question": "What is there?", **PAIR})
    assert_pair(opened([{"image": "a.png", "text": text}], format="rlhf_v"), read)


def test_hsa_dpo_weighs_by_the_severity_of_the_rejected_answer(opened: Opened, read: Read) -> None:
    row = PLAIN | {"chosen_score": 0, "rejected_score": 1.5}
    rows = opened([row], format="hsa_dpo")
    assert_pair(rows, read, meta={"severity": 1.5, "chosen_score": 0.0})
    assert read_talk(rows[0], ["severity"]).mistakes == ()


@pytest.mark.parametrize("name", ["chosen", "answer"])
def test_llava_hound_is_about_videos(opened: Opened, read: Read, name: str) -> None:
    row = {"id": "v", "video": "a.mp4", "prompt": "<video>\nWhat is there?", name: "A cat."}
    row |= {"rejected": "A dog.", "chosen_score": 4, "rejected_score": 2}
    rows = opened([row], format="llava_hound")
    assert read(rows) == [("user", [("video_url", "a.mp4"), "What is there?"])]
    assert rows[0]["chosen"] == "A cat."
    assert rows[0]["meta"] == {"chosen_score": 4.0, "rejected_score": 2.0}


def test_povid_has_two_conversations(opened: Opened, read: Read) -> None:
    row = {
        "id": "1",
        "image": "a.png",
        "conversations": turns("<image>\nWhat is there?", PAIR["chosen"]),
        "rejected_conversations": turns("<image>\nWhat is there?", PAIR["rejected"]),
    }
    assert_pair(opened([row], format="povid"), read, id="1")
    longer = row | {
        "conversations": turns("Hi.", "Yes?", "What?", "A."),
        "rejected_conversations": turns("Hi.", "No?", "What?", "B."),
    }
    with pytest.raises(DataError, match=r"json:1: conversations and rejected_conversations differ"):
        opened([longer], format="povid")[0]


def test_stic_is_read_as_trl_does(opened: Opened, read: Read, chat: Chat) -> None:
    row = {
        "image": "a.png",
        "image_corruption": "color_jitter",
        "hallu_prompt": None,
        "chosen": chat("What is there?", PAIR["chosen"]),
        "rejected": chat("What is there?", PAIR["rejected"]),
    }
    assert_pair(opened([row], format="trl"), read)
    split = {"image": "a.png", "prompt": chat("What is there?", "")[:1]}
    split |= {name: [{"role": "assistant", "content": said}] for name, said in PAIR.items()}
    assert_pair(opened([split], format="trl"), read)
    assert_pair(
        opened([{"image": "a.png", "prompt": "What is there?", **PAIR}], format="trl"), read
    )
    with pytest.raises(DataError, match="json:1: chosen and rejected differ before the last"):
        opened([row | {"rejected": chat("Make it up.", "A dog.")}], format="trl")[0]


def halva(**changes: Any) -> dict[str, Any]:
    row = {
        "image": "a.png",
        "question": "What is there?",
        "answer": "A black cat sits on a mat.",
        "hallucinated_answer": "A white dog sits on a bed.",
        "pos_signs": [0, 1, 1, 0, 0, 0, 2, 0],
        "neg_signs": [0, 1, 1, 1, 0, 0, 0, 2, 0],
    }
    return row | changes


def test_phrases_of_halva_are_where_the_answers_differ(opened: Opened, read: Read) -> None:
    rows = opened([halva()], format="halva")
    assert read(rows) == ASKED
    assert rows[0]["meta"]["phrases"] == {
        "chosen": [[2, 11, 1], [22, 25, 2]],
        "rejected": [[2, 11, 1], [22, 25, 2]],
    }
    said = {name: rows[0][name] for name in PAIR}
    assert [said["chosen"][2:11], said["rejected"][22:25]] == ["black cat", "bed"]
    assert differing("a b", "a cd") == {"chosen": [[2, 3, 1]], "rejected": [[2, 4, 1]]}
    with pytest.raises(DataError, match="neg_signs names 1 phrases, and the answers differ in 2"):
        opened([halva(neg_signs=[0, 1])], format="halva")[0]
    with pytest.raises(DataError, match="phrase 1 is in one answer alone"):
        opened([halva(hallucinated_answer="A black cat sits on a big mat.")], format="halva")[0]


RATED = [
    {"response": "A cat.", "annotations": {"Helpfulness": {"Rating": "4", "Rationale": "So."}}},
    {"response": "A dog.", "annotations": {"Helpfulness": {"Rating": "N/A", "Rationale": "?"}}},
]
TABLE = {name: [one[name] for one in RATED] for name in ("response", "annotations")}


@pytest.mark.parametrize("completions", [RATED, TABLE])
def test_vlfeedback_has_ratings(opened: Opened, read: Read, completions: Any) -> None:
    row = {"id": "q", "img_path": "a.png", "prompt": "What is there?", "completions": completions}
    rows = opened([row], format="vlfeedback")
    assert read(rows) == ASKED
    assert rows[0]["completions"] == [
        {"text": "A cat.", "ratings": {"Helpfulness": 4.0}},
        {"text": "A dog.", "ratings": {"Helpfulness": None}},
    ]
    assert read_talk(rows[0]).mistakes == ()


def test_bpo_has_scores(opened: Opened, read: Read) -> None:
    completions = [{"response": "A cat.", "score": 2}, {"response": "A dog.", "score": 1}]
    row = {"id": "q", "image": "a.png", "prompt": "<image>\nWhat is there?"}
    rows = opened([row | {"completions": completions}], format="bpo")
    assert read(rows) == ASKED
    assert rows[0]["completions"] == [
        {"text": "A cat.", "score": 2.0},
        {"text": "A dog.", "score": 1.0},
    ]
    assert read_talk(rows[0]).mistakes == ()


@pytest.mark.parametrize(
    ("format", "row", "message"),
    [
        ("rlhf_v", {**PLAIN, "rejected": None}, "rejected is missing"),
        ("rlhf_v", {"image": "a.png", "text": "What?"}, "text is 'What\\?', which is no JSON"),
        ("rlhf_v", {"image": "a.png", "text": "[1]"}, "should hold question and answers"),
        ("hsa_dpo", PLAIN, "rejected_score is None; it should be a number"),
        ("llava_hound", {**PLAIN, "prompt": 3}, "prompt is 3; it should be words"),
        ("povid", {"conversations": turns("Q.", "A.")}, "rejected_conversations is missing"),
        ("trl", {"prompt": "Q.", "chosen": "A."}, "rejected is missing"),
        ("trl", {"chosen": [{"role": "user", "content": "Q."}], "rejected": "A."}, "end with an"),
        ("halva", halva(pos_signs="0 1"), "pos_signs is '0 1'; it should be the number"),
        ("halva", halva(question=None), "question is None"),
        ("vlfeedback", {"prompt": "Q."}, "completions is None; it should be a list of answers"),
        (
            "vlfeedback",
            {"prompt": "Q.", "completions": {"response": ["A."], "annotations": []}},
            "as lists of one length",
        ),
        (
            "vlfeedback",
            {"prompt": "Q.", "completions": [{"response": "A.", "annotations": [4]}]},
            "annotations is \\[4\\]; it should be a Rating for each aspect",
        ),
        ("bpo", {"prompt": "Q.", "completions": ["A."]}, "completions.0 is 'A.'"),
        (
            "bpo",
            {"prompt": "Q.", "completions": [{"response": "A.", "score": "2"}]},
            "score is '2'",
        ),
        ("bpo", {"completions": [{"response": "A.", "score": 2}]}, "prompt is None"),
    ],
)
def test_other_shapes_are_refused_by_name(
    opened: Opened, format: str, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"json:1: .*{message}"):
        opened([row], format=format)[0]
