"""The objective `words`: what soft tokens are to be, how far they are, and that no layer runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from aligners.base import SoftTokens
from anymal.assemble import Assembled, build
from anymal.collate import Batch, collate
from anymal.errors import DataError, RecipeError
from anymal.recipe.schema import load_recipe
from train.word_loss import WordLoss

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

Talk = Callable[..., dict[str, Any]]
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(name="records")
def _records(talk: Talk) -> list[dict[str, Any]]:
    return [
        talk("What is it?", "a red square", images=[RED]),
        talk("And what is this one here?", "blue", images=[BLUE]),
        talk("Does it move?", "a phone that lies still", motions=1),
    ]


def batch(assembled: Assembled, records: Sequence[dict[str, Any]]) -> Batch:
    samples = [assembled.processor(record) for record in records]
    return collate(samples, pad_id=assembled.processor.pad_id)


def wanted(assembled: Assembled, record: dict[str, Any], num_tokens: int) -> list[int]:
    """The words of the answer, then what stands behind the medium."""
    sample = assembled.processor(record)
    (slot,) = sample.slots
    answer = [int(i) for i in sample.labels if i >= 0 and int(i) not in assembled.model.stop_ids]
    behind = int(sample.ids[slot.start + slot.length])
    return (answer + [behind] * num_tokens)[:num_tokens]


def test_the_loss_is_that_of_the_nearest_word_and_the_way_there(
    assembled: Assembled, records: list[dict[str, Any]]
) -> None:
    model, whole = assembled.model, batch(assembled, records)
    table = model.llm.embed(torch.arange(model.llm.vocab_size))
    scale = float((table**2).sum(1).mean())
    with torch.no_grad():
        soft = model.align(model.encode(whole.media))
        rows = [*soft["image"].values, *soft["imu"].values]
        sums = []
        for record, row in zip(records, rows, strict=True):
            total = 0.0
            for token, word in zip(row, wanted(assembled, record, len(row)), strict=True):
                squares = ((token - table) ** 2).sum(1)
                total -= float(torch.log_softmax(-4 * squares / scale, 0)[word])
                total += 0.5 * float(squares[word]) / scale
            sums.append(total)
        loss = WordLoss(model)(model, whole)
    torch.testing.assert_close(loss.per_sample, torch.tensor(sums), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(loss.total, loss.per_sample.sum())
    assert loss.count == 32 + 32 + 40


def test_words_in_their_place_are_at_no_distance(
    assembled: Assembled, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, whole = assembled.model, batch(assembled, records[:1])
    table = model.llm.embed(torch.arange(model.llm.vocab_size))
    right = torch.tensor(wanted(assembled, records[0], 32))
    losses = []
    for words in (right, right.roll(1)):
        monkeypatch.setattr(
            model, "align", lambda _, words=words: {"image": SoftTokens(values=table[words][None])}
        )
        with torch.no_grad():
            losses.append(WordLoss(model)(model, whole).total)
    near = torch.log_softmax(
        -4 * torch.cdist(table[right], table) ** 2 / (table**2).sum(1).mean(), dim=1
    )
    torch.testing.assert_close(losses[0], -near[torch.arange(32), right].sum())
    assert losses[1] > losses[0]


def test_padding_does_not_change_the_loss(
    assembled: Assembled, records: list[dict[str, Any]]
) -> None:
    with torch.no_grad():
        together = WordLoss(assembled.model)(assembled.model, batch(assembled, records))
        alone = [
            WordLoss(assembled.model)(assembled.model, batch(assembled, [record]))
            for record in records
        ]
    torch.testing.assert_close(together.per_sample, torch.stack([loss.total for loss in alone]))
    assert together.count == sum(loss.count for loss in alone)


def test_only_aligners_learn_and_no_layer_runs(
    model_recipe: Callable[..., "ModelRecipe"],
    records: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assembled = build(model_recipe())
    model, whole = assembled.model, batch(assembled, records)
    model.set_trainable(["aligners.image", "aligners.imu"])
    monkeypatch.setattr(model, "decode", None)
    WordLoss(model)(model, whole).total.backward()
    learnt = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split(".")[0] for name in learnt} == {"aligners"}
    assert {name.split(".")[1] for name in learnt} == {"image", "imu"}


@pytest.mark.parametrize("count", [0, 2])
def test_samples_without_one_medium_are_refused_by_name(
    assembled: Assembled, talk: Talk, count: int
) -> None:
    records = [talk("One", "red", images=[RED]), talk("Not one", "blue", images=[BLUE] * count)]
    with pytest.raises(DataError, match=r"^Not one: objective words needs one medium"):
        WordLoss(assembled.model)(assembled.model, batch(assembled, records))


@pytest.mark.parametrize(
    "overrides",
    [
        ["stages.instruct.objective=words"],
        ["stages.align.objective=words", "stages.align.packing=true"],
    ],
)
def test_words_are_for_align_and_not_packed(
    overrides: list[str], write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="objective: words is for kind: align"):
        load_recipe(write_recipe(tmp_path / "run"), overrides)
