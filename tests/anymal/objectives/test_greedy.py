"""POVID's second rejected answer, from records to the loss."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.objectives.preference import Preference, scores
from tests.pairs import check, compares, record
from train.data.pairs import samples_of


def test_a_greedy_branch_is_read_under_noise_and_scored_without(
    assembled: Assembled, talk: Any
) -> None:
    recipe = compares("povid")
    samples = samples_of(check(record(talk)), recipe, assembled.processor, base_dir=None)
    assert [sample.part.branch for sample in samples if sample.part] == [
        "chosen",
        "rejected",
        "greedy@noise",
    ]
    torch.testing.assert_close(samples[0].labels, samples[2].labels)
    pixels = [next(iter(sample.media["image"][0].tensors.values())) for sample in samples]
    assert torch.equal(pixels[0], pixels[1])
    assert not torch.equal(pixels[0], pixels[2])
    seen: list[Any] = []

    def reference(model: Any, batch: Any) -> torch.Tensor:
        seen.append(batch)
        return scores(model, batch)

    batch = collate([*samples, *samples], pad_id=0)
    objective = Preference(recipe.branches, recipe.parsed, beta=0.1, reference=reference)
    model = assembled.model
    with torch.no_grad():
        objective(model, batch)
        hidden = model.read(batch)
        alone = collate(samples[2:], pad_id=0)
        noisy = model.llm.head(model.read(alone)[alone.target_rows]).argmax(-1)
        clean = collate(samples[:1], pad_id=0)
        logits = model.llm.head(model.read(clean)[clean.target_rows])
    [told] = seen
    for number in (2, 5):
        own = told.target_samples == number
        assert torch.equal(told.target_ids[own], noisy)
        its = batch.target_rows[batch.target_samples == number - 2]
        assert torch.equal(told.target_rows[own], its)
    for number in (0, 1, 3, 4):  # the others are as they were
        own = told.target_samples == number
        assert torch.equal(told.target_ids[own], batch.target_ids[own])
        assert torch.equal(told.target_rows[own], batch.target_rows[own])
    expected = logits.log_softmax(-1).gather(1, noisy[:, None]).sum()
    with torch.no_grad():
        found = -model.losses_of(hidden, told)[told.target_samples == 2].sum()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_without_noise_a_model_that_would_say_the_chosen_answer_compares_it_with_itself(
    assembled: Assembled, talk: Any
) -> None:
    terms = [{"chosen": 1, "greedy": -1}]
    recipe = compares("povid", terms=terms, beta=3.0)
    [chosen, greedy] = samples_of(check(record(talk)), recipe, assembled.processor, base_dir=None)
    batch = collate([chosen, greedy], pad_id=0)
    model = assembled.model
    with torch.no_grad():
        likeliest = model.llm.head(model.read(batch)[batch.target_rows]).argmax(-1)
        batch = dataclasses.replace(batch, target_ids=likeliest)
        # Whatever the reference thinks of these words.
        objective = Preference(
            recipe.branches,
            recipe.parsed,
            beta=3.0,
            reference=lambda model, batch: 2 * scores(model, batch) - 5,
        )
        assert float(objective(model, batch).total) == pytest.approx(math.log(2), abs=1e-6)
