"""One row with a model: its length, and what the model does not take."""

from pathlib import Path
from typing import Any

import pytest

from anymal.data.checks.length import Length
from anymal.data.checks.media import LIMITS, DecodeOne, decode_alone
from anymal.data.checks.row import CheckedRow, check_row
from anymal.errors import ConversationError
from anymal.modality import Medium, read_medium
from anymal.protocol.conversation import Conversation, ImagePart
from tests.anymal.data.checks.planted import medium, motion, picture, row


class OneRow:
    """A data set of one row."""

    licence = "CC0-1.0"

    def __init__(self, base_dir: Path, given: Any) -> None:
        self.base_dir = base_dir
        self.given = given

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> Any:
        return self.given

    def in_file(self, index: int, /) -> Any:
        return self.given

    def where(self, index: int, /) -> str:
        return "rows.jsonl:1"


class WordModel:
    """Takes images; a token is a word, and what is learnt is the last message."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.num_decoded = 0

    def decode(self, given: Medium, modality: str) -> Any:
        if modality != "image":
            raise ConversationError(f"the model takes no {modality}; it takes image")
        self.num_decoded += 1
        return decode_alone(given, modality)

    def length(self, conversation: Conversation, base_dir: Path, decode: DecodeOne) -> Length:
        texts = [str(message.content).split() for message in conversation.messages]
        for part in conversation.messages[0].media.values():
            assert isinstance(part, ImagePart)
            decode(read_medium(part, limits=LIMITS, base_dir=base_dir), "image")
        before = sum(map(len, texts[:-1]))
        return Length(num_tokens=before + len(texts[-1]), first_learnt=before, most=self.most)


def check(base_dir: Path, given: Any, most: int = 100) -> tuple[CheckedRow, WordModel]:
    model = WordModel(most)
    return check_row(OneRow(base_dir, given), 0, model), model


def turns(question: str, answer: str) -> Any:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.mark.parametrize(
    ("question", "answer", "kinds"),
    [
        ("one two three", "four five", []),
        ("one two three", "four five six", ["too_long"]),
        ("one two three four", "five six", ["too_long"]),
        ("one two three four five", "six", ["nothing_learnt"]),
    ],
)
def test_a_row_fits_or_a_cut_leaves_something_or_nothing(
    tmp_path: Path, question: str, answer: str, kinds: list[str]
) -> None:
    checked, _ = check(tmp_path, turns(question, answer), most=5)
    assert [mistake.kind for mistake in checked.mistakes] == kinds
    assert checked.num_tokens == len(f"{question} {answer}".split())


def test_media_are_decoded_once_for_all_checks(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    checked, model = check(tmp_path, row(medium("image_url", "a.png")), most=1000)
    assert checked.mistakes == ()
    assert model.num_decoded == 1
    assert checked.media == {"image": [24.0]}


def test_a_medium_that_the_model_does_not_take_is_named(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_bytes(motion())
    checked, _ = check(tmp_path, row(medium("input_imu", "walk.csv")))
    (mistake,) = checked.mistakes
    assert (mistake.kind, mistake.reason) == ("unfit", "the model takes no imu")
    assert mistake.change == "it takes image"


def test_all_mistakes_of_a_row_are_found_at_once(tmp_path: Path) -> None:
    given = row(medium("image_url", "a.png"), medium("image_url", "b.png"), answer=" ")
    checked, _ = check(tmp_path, given)
    assert [one.kind for one in checked.mistakes] == ["blank_answer", "missing", "missing"]
    assert "b.png" in checked.mistakes[2].reason


def test_of_several_answers_the_longest_counts(tmp_path: Path) -> None:
    given = turns("one two", "") | {"chosen": "three", "rejected": "three four five six"}
    given["messages"] = given["messages"][:1]
    checked, _ = check(tmp_path, given, most=5)
    assert [mistake.kind for mistake in checked.mistakes] == ["too_long"]
    assert (checked.num_tokens, checked.num_words) == (6, 6)


def test_media_of_a_pair_are_decoded_once(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    given = row(medium("image_url", "a.png")) | {"chosen": "Noise.", "rejected": "A dog."}
    given["messages"] = given["messages"][:1]
    checked, model = check(tmp_path, given, most=1000)
    assert checked.mistakes == ()
    assert model.num_decoded == 1
