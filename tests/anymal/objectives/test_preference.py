"""Constants of the published methods, worked out by hand from one shared example."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from anymal.objectives.preference import preference
from anymal.objectives.terms import Term
from anymal.recipe.objective import PreferenceRecipe

# Log-probabilities of three tokens each: of the policy, and of the reference.
POLICY = {"chosen": (-0.1, -0.2, -0.3), "rejected": (-0.4, -0.5, -0.6)}
REFERENCE = {"chosen": (-0.2, -0.2, -0.2), "rejected": (-0.3, -0.3, -0.3)}
DPO = {"chosen": 1.0, "rejected": -1.0}


def column(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def delta(weights: tuple[float, ...] = (1, 1, 1), *, is_mean: bool = False) -> dict[str, Tensor]:
    """By how much the policy exceeds the reference, token by token weighed."""
    scale = sum(weights) if is_mean else 1.0
    return {
        name: column(
            sum(w * (p - r) for w, p, r in zip(weights, POLICY[name], REFERENCE[name], strict=True))
            / scale
        )
        for name in POLICY
    }


def loss(
    given: Mapping[str, Tensor],
    *terms: dict[str, Any],
    beta: float = 0.1,
    numbers: Mapping[str, Tensor] | None = None,
) -> float:
    parsed = [Term.of(term) for term in terms]
    return float(preference(given, parsed, beta=beta, numbers=numbers))


def preset(name: str) -> PreferenceRecipe:
    return PreferenceRecipe.model_validate({"kind": "preference", "preset": name})


def test_dpo() -> None:
    assert float(delta()["chosen"]) == pytest.approx(0, abs=1e-12)
    assert loss(delta(), DPO) == pytest.approx(0.663597, abs=1e-6)
    assert loss(delta(), *preset("dpo").terms) == loss(delta(), DPO)


@pytest.mark.parametrize(
    ("is_mean", "beta", "expected"),
    [(False, 0.1, 0.625595), (True, 0.1, 0.683197), (True, 0.5, 0.644397)],
)
def test_rlhf_v_weighs_changed_tokens(is_mean: bool, beta: float, expected: float) -> None:
    changed = delta((1, 1, 5), is_mean=is_mean)
    assert loss(changed, DPO, beta=beta) == pytest.approx(expected, abs=1e-6)


def test_mdpo_sums_three_terms() -> None:
    given = delta() | {"chosen@crop": column(-0.9 - -0.7)}
    terms = preset("mdpo").terms
    each = [loss(given, term) for term in terms]
    assert each == pytest.approx([0.663597, 0.683197, 0.693147], abs=1e-6)
    assert loss(given, *terms) == pytest.approx(2.039941, abs=1e-6)
    # Another crop changes only the second.
    other = given | {"chosen@crop": column(-1.0)}
    assert [a == loss(other, t) for a, t in zip(each, terms, strict=True)] == [True, False, True]


def test_stic_adds_a_share_of_the_answer_itself() -> None:
    stic = preset("stic")
    found = loss(delta(), *stic.terms) - stic.sft * sum(POLICY["chosen"])
    assert found == pytest.approx(0.664183, abs=1e-6)


def test_povid_halves_two_terms() -> None:
    given = delta() | {"greedy@noise": column(-0.8 - -0.75)}
    assert loss(given, *preset("povid").terms) == pytest.approx(0.677124, abs=1e-6)
    # Words that are those of the chosen answer leave log 2 of the second term.
    given = delta() | {"greedy@noise": delta()["chosen"]}
    second = preset("povid").terms[1]
    assert loss(given, second) == pytest.approx(0.693147 / 2, abs=1e-6)


@pytest.mark.parametrize(("severity", "expected"), [(2.0, 0.634946), (1.0, 0.663597)])
def test_hsa_dpo_weighs_the_rejected_by_its_severity(severity: float, expected: float) -> None:
    numbers = {"severity": column(severity)}
    found = loss(delta(), *preset("hsa_dpo").terms, numbers=numbers)
    assert found == pytest.approx(expected, abs=1e-6)


def test_halva_compares_without_a_reference() -> None:
    phrases = {"chosen": column(-0.3), "rejected": column(-0.6)}
    assert loss(phrases, DPO, beta=1.0) == pytest.approx(0.554355, abs=1e-6)


def test_a_margin_is_taken_off() -> None:
    assert loss(delta(), {**DPO, "margin": 0.06}) == pytest.approx(0.693147, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dpo", 0.693147),
        ("hsa_dpo", 0.693147),
        ("mdpo", 2.079442),
        ("povid", 0.693147),
        ("rlhf_v", 0.693147),
        ("stic", 0.693147),
    ],
)
def test_each_term_starts_at_log_2(name: str, expected: float) -> None:
    recipe = preset(name)
    nothing = {str(branch): column(0) for branch in recipe.branches}
    numbers = {name: column(3) for name in recipe.numbers}
    assert loss(nothing, *recipe.terms, numbers=numbers) == pytest.approx(expected, abs=1e-6)


def test_pairs_are_weighed_by_themselves_and_keep_their_gradients() -> None:
    chosen = torch.tensor([0.0, 1.0], requires_grad=True)
    rejected = torch.tensor([-0.6, 1.0])
    each = preference({"chosen": chosen, "rejected": rejected}, [Term.of(DPO)], beta=0.1)
    torch.testing.assert_close(each, torch.tensor([0.663597, 0.693147]))
    each.sum().backward()
    assert chosen.grad is not None
    torch.testing.assert_close(chosen.grad, -0.1 * torch.sigmoid(torch.tensor([-0.06, 0.0])))
