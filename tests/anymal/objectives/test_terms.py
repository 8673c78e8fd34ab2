from typing import Any

import pytest

from anymal.objectives.terms import Branch, Coefficient, Term, branches_of, numbers_of


def test_a_branch_is_an_answer_and_perhaps_a_corruption() -> None:
    assert Branch.of("chosen") == Branch(answer="chosen")
    assert Branch.of("rejected@blank") == Branch(answer="rejected", corruption="blank")
    assert str(Branch.of("chosen@noise:300")) == "chosen@noise:300"
    greedy = Branch.of("greedy@noise")
    assert (greedy.is_lazy, greedy.words_of) == (True, "chosen")
    assert not Branch.of("rejected@absent").is_lazy


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("best", "unknown answer 'best'.*chosen, rejected and greedy"),
        ("chosen@fog", "unknown corruption 'fog'.*known: crop, blank"),
        ("chosen@", "unknown corruption ''"),
        ("scale", "weight and margin"),
    ],
)
def test_other_branches_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Branch.of(name)


def test_a_coefficient_is_a_number_or_names_one() -> None:
    assert Coefficient.of(2) == Coefficient(times=2.0)
    assert Coefficient.of("-severity") == Coefficient(times=-1.0, number="severity")
    assert Coefficient.of("share") == Coefficient(times=1.0, number="share")
    with pytest.raises(ValueError, match="the name of a number in meta"):
        Coefficient.of("2 * severity")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"weight": 1.0}, "needs a branch"),
        ({"chosen": 1.0, "margin": "severity"}, "margin of a term is a number"),
    ],
)
def test_other_terms_are_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Term.of(written)


def test_terms_name_each_branch_and_number_once() -> None:
    terms = [
        Term.of({"chosen": 1, "rejected": "-severity"}),
        Term.of({"chosen": 1, "chosen@crop": "-severity", "weight": 0.5}),
    ]
    assert [str(branch) for branch in branches_of(terms)] == ["chosen", "rejected", "chosen@crop"]
    assert numbers_of(terms) == ("severity",)
    assert terms[1].weight == 0.5
