from typing import Any

import pytest
import torch

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.errors import DataError
from anymal.objectives.terms import Branch
from anymal.recipe.objective import PreferenceRecipe
from train.data.pairs import Pair, check_pair, samples_of

MDPO = PreferenceRecipe.model_validate({"kind": "preference", "preset": "mdpo"})


def record(talk: Any, **changes: Any) -> dict[str, Any]:
    question = talk("Which?", "-", images=[(255, 0, 0)], motions=1)["messages"][:1]
    row = {"messages": question, "chosen": "It is red.", "rejected": "It is blue, and moves."}
    return {key: value for key, value in (row | changes).items() if value is not None}


def check(row: object, *numbers: str) -> Pair:
    return check_pair(row, where="pairs.jsonl:1", base_dir=None, numbers=numbers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rejected": None}, r"^pairs\.jsonl:1: rejected is the words of an answer.* is none"),
        ({"chosen": " "}, "chosen is the words of an answer, and here is ' '"),
        ({"rejected": "It is red."}, "the same words"),
        ({"messages": []}, "no messages"),
        ({"messages": ["Which?"]}, "each of messages is an object"),
        ({"messages": [{"role": "assistant", "content": "Red."}]}, "end with the user's question"),
        ({"score": 3}, "'score' is not understood here"),
        ({"rejected": "It is <image>."}, "left as words"),
    ],
)
def test_a_record_says_what_is_wrong(talk: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(record(talk, **changes))


@pytest.mark.parametrize("meta", [None, {}, {"severity": "high"}, {"severity": True}])
def test_numbers_that_terms_name_have_to_be_there(talk: Any, meta: Any) -> None:
    with pytest.raises(DataError, match=r"weighs by severity, and meta\.severity is"):
        check(record(talk, meta=meta), "severity")
    assert check(record(talk, meta={"severity": 2, "x": 1}), "severity").numbers == {"severity": 2}


def test_only_the_last_answer_is_learnt(assembled: Assembled, talk: Any) -> None:
    asked = record(talk)["messages"]
    before = [*asked, {"role": "assistant", "content": "It is red."}]
    row = record(talk, messages=[*before, {"role": "user", "content": "Sure?"}], chosen="one")
    sample, _ = samples_of(
        check(row), [Branch.of("chosen"), Branch.of("rejected")], assembled.processor, base_dir=None
    )
    learnt = assembled.processor.tokenizer.decode(sample.labels[sample.labels != -100])
    assert "one" in learnt
    assert "red" not in learnt


def test_media_are_decoded_once_encoded_once_and_corrupted_alike(
    assembled: Assembled, talk: Any
) -> None:
    decoded = []

    def decode(medium: Any, *args: Any, **kwargs: Any) -> Any:
        decoded.append(medium.digest)
        return real(medium, *args, **kwargs)

    real = assembled.processor.decode
    processor = assembled.processor.decoding_by(decode)
    pair = check(record(talk))
    once, again = (samples_of(pair, MDPO.branches, processor, base_dir=None) for _ in range(2))
    assert len(decoded) == 4  # a picture and a motion, twice
    assert [sample.part for sample in once] == [sample.part for sample in again]
    assert len({sample.part.key for sample in once if sample.part}) == 3
    batch = collate(once, pad_id=0)
    assert [part.branch for part in batch.parts] == ["chosen", "rejected", "chosen@crop"]
    for name, media in batch.media.items():
        assert len(batch.slots[name].lengths) == 3
        assert batch.slots[name].items == (0, 0, 1)
        assert len(assembled.model.encode({name: media})[name].values) == 2
    clean, cropped = once[0].media["image"][0], once[2].media["image"][0]
    assert clean.digest != cropped.digest
    torch.testing.assert_close(once[0].ids, once[2].ids)


def test_another_record_is_corrupted_otherwise(talk: Any) -> None:
    seeds = {check(record(talk, chosen=f"It is {word}.")).seed for word in ("red", "big", "red")}
    assert len(seeds) == 2
