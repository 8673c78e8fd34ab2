"""HALVA's second term: the model stays what it was on other records."""

from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.objectives.kept import Kept, divergence
from anymal.objectives.preference import Preference, preference
from anymal.objectives.terms import Term
from anymal.protocol.conversation import read_conversation
from anymal.recipe.objective import PreferenceRecipe
from tests.pairs import check, compares, phrased
from train.data.pairs import kept_sample, samples_of


def log(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64).log()


def test_the_published_constants() -> None:
    kl = divergence(log(0.5, 0.5), log(0.6, 0.4))
    assert kl.tolist() == pytest.approx([0.020411], abs=1e-6)
    entry = {"data": [{"manifest": "kept.jsonl"}]}
    halva = PreferenceRecipe.model_validate({"kind": "preference", "preset": "halva", "kl": entry})
    assert halva.kl is not None
    given = {
        "chosen": torch.tensor([[-0.3]], dtype=torch.float64),
        "rejected": torch.tensor([[-0.6]], dtype=torch.float64),
    }
    terms = list(map(Term.of, halva.terms))
    aligned = preference(given, terms, beta=halva.beta)
    assert float(aligned) == pytest.approx(0.554355, abs=1e-6)
    assert float(aligned + halva.kl.weight * kl) == pytest.approx(0.562520, abs=1e-6)


def test_nothing_has_changed_at_first() -> None:
    same = F.log_softmax(torch.randn(5, 7), -1)
    assert divergence(same, same).abs().max() < 1e-7
    assert (divergence(same, F.log_softmax(torch.randn(5, 7), -1)) > 0).all()


def test_a_batch_tells_apart_what_is_compared_and_what_is_kept(
    assembled: Assembled, talk: Any
) -> None:
    recipe = compares("halva")
    pair = samples_of(check(phrased(talk), "halva"), recipe, assembled.processor, base_dir=None)
    talks = [talk("Say it.", word, images=[(9, 9, 9)]) for word in ("It is one.", "It is red.")]
    read = [read_conversation(each) for each in talks]
    kept = [kept_sample(each, assembled.processor, base_dir=None) for each in read]
    batch = collate([*pair, kept[0], *pair, kept[1]], pad_id=0)
    model = assembled.model

    @contextmanager
    def other(model: Any) -> Any:
        bias = model.aligners["image"]
        before = {name: each.clone() for name, each in bias.state_dict().items()}
        for parameter in bias.parameters():
            parameter.data += 0.1
        yield
        bias.load_state_dict(before)

    with torch.no_grad():
        same = Preference(
            recipe.branches,
            recipe.parsed,
            beta=1.0,
            by_phrase=True,
            kept=Kept(0.4, at_start=nullcontext),
        )(model, batch)
        moved = Preference(
            recipe.branches,
            recipe.parsed,
            beta=1.0,
            by_phrase=True,
            kept=Kept(0.4, at_start=other),
        )(model, batch)
        own = torch.cat(
            [
                model.llm.head(model.read(b)[b.target_rows])
                for b in (collate([each], pad_id=0) for each in kept)
            ]
        ).log_softmax(-1)
        with other(model):
            then = torch.cat(
                [
                    model.llm.head(model.read(b)[b.target_rows])
                    for b in (collate([each], pad_id=0) for each in kept)
                ]
            ).log_softmax(-1)
    assert float(same.measures["reference/kl"]) == pytest.approx(0, abs=1e-6)
    expected = (then.exp() * (then - own)).sum()
    assert float(moved.measures["reference/kl"]) == pytest.approx(float(expected), rel=1e-4)
    assert expected > 1e-6
    assert float(moved.total - same.total) == pytest.approx(0.4 * float(expected), rel=1e-2)
    assert moved.count == 2
