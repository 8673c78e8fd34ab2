from typing import Any, Literal

import pytest

from anymal.errors import DataError
from anymal.evaluation.metrics.contractions import CONTRACTIONS
from anymal.evaluation.metrics.vqa import VqaAccuracy


def test_every_case_is_as_the_official_evaluation_has_it(vqa_cases: Any, judge: Any) -> None:
    judged = judge(
        VqaAccuracy(),
        [case["answer"] for case in vqa_cases],
        [case["references"] for case in vqa_cases],
    )
    # It rounds to two digits.
    assert [round(100 * value, 2) for value in judged.values] == [
        case["accuracy"] for case in vqa_cases
    ]
    assert len(vqa_cases) == 200


@pytest.mark.parametrize(
    ("variant", "answer", "references", "accuracy"),
    [
        # Ten equal answers: nothing is normalised.
        ("official", "A dog.", ["dog"] * 10, 0),
        ("evalai", "A dog.", ["dog"] * 10, 1),
        ("official", "2", ["two"] * 10, 0),
        ("evalai", "2", ["two"] * 10, 1),
        ("official", "A dog.", ["dog"] * 9 + ["cat"], 1),
        # Two of ten: eight people leave two others, two leave one.
        ("official", "yes", ["yes"] * 2 + ["no"] * 8, (8 * 2 / 3 + 2 * 1 / 3) / 10),
        ("evalai", "yes", ["yes"] * 2 + ["no"] * 8, 0.6),
        ("official", "Bob's", ["bob 's"] * 5 + ["bob"] * 5, 0),
        ("evalai", "Bob's", ["bob 's"] * 5 + ["bob"] * 5, 1),
        ("official", "dont\tknow", ["don't know"] * 5 + ["no"] * 5, 1),
        ("official", "1,000", ["1000"] * 5 + ["no"] * 5, 1),
        ("official", "red,white", ["red white"] * 5 + ["no"] * 5, 1),
        ("official", "red, white", ["red white"] * 5 + ["no"] * 5, 1),
    ],
)
def test_variants(
    variant: Literal["official", "evalai"],
    answer: str,
    references: list[str],
    accuracy: float,
    judge: Any,
) -> None:
    metric = VqaAccuracy(variant=variant)
    assert metric.name == f"VQA accuracy ({variant})"
    assert judge(metric, [answer], [references]).figure == pytest.approx(accuracy)


def test_only_known_contractions_are_restored() -> None:
    assert CONTRACTIONS["couldntve".replace("ntve", "n'tve")] == "couldn't've"
    assert CONTRACTIONS["twas"] == "'twas"
    assert not CONTRACTIONS.keys() & {"its", "well", "shed", "wed", "ill", "im", "id"}


def test_one_person_is_not_enough(judge: Any) -> None:
    with pytest.raises(DataError, match="1 questions have fewer than two"):
        judge(VqaAccuracy(), ["yes", "no"], [["yes"], ["no", "no"]])
