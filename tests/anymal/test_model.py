"""The GPU path: losses that do not depend on batching, gradients where they belong."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.assemble import Assembled, build
from anymal.collate import Batch, collate
from anymal.errors import BundleError, RecipeError
from tests.anymal.asking import answers, next_logits

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

Talk = Callable[..., dict[str, Any]]
MakeRecipe = Callable[..., "ModelRecipe"]
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(name="records")
def _records(talk: Talk) -> list[dict[str, Any]]:
    return [
        talk("What colour is it?", "It is red.", images=[RED]),
        talk("Which moves more, and what is seen?", "The second; blue.", images=[BLUE], motions=2),
        talk("Hello", "Hi."),
    ]


def batch(assembled: Assembled, records: Sequence[dict[str, Any]]) -> Batch:
    samples = [assembled.processor(record) for record in records]
    return collate(samples, pad_id=assembled.processor.pad_id)


def test_padding_does_not_change_the_loss(
    assembled: Assembled, records: list[dict[str, Any]]
) -> None:
    with torch.no_grad():
        together = assembled.model.loss(batch(assembled, records))
        alone = [assembled.model.loss(batch(assembled, [record])) for record in records]
    assert together.count == sum(loss.count for loss in alone)
    torch.testing.assert_close(together.total, torch.stack([loss.total for loss in alone]).sum())
    torch.testing.assert_close(together.per_sample, torch.stack([loss.total for loss in alone]))


def test_loss_is_that_of_the_whole_model(
    assembled: Assembled, records: list[dict[str, Any]]
) -> None:
    model, whole = assembled.model, batch(assembled, records)
    with torch.no_grad():
        embeddings = model.fuse(whole, model.align(model.encode(whole.media)))
        mask = torch.arange(whole.ids.shape[1]) < torch.tensor(whole.lengths)[:, None]
        logits = model.llm.model(inputs_embeds=embeddings, attention_mask=mask.long()).logits
        expected = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), whole.labels[:, 1:].flatten(), reduction="sum"
        )
        torch.testing.assert_close(model.loss(whole).total, expected)


def test_accumulation_of_two_times_one_equals_one_times_two(
    model_recipe: MakeRecipe, records: list[dict[str, Any]]
) -> None:
    assembled = build(model_recipe())
    model = assembled.model
    model.set_trainable(["aligners.image", "aligners.imu"])
    gradients = []
    for split in ([records[:2]], [records[:1], records[1:2]]):
        model.zero_grad()
        for part in split:
            model.loss(batch(assembled, part)).total.backward()
        gradients.append([p.grad.clone() for p in model.aligners.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_every_trainable_gets_a_gradient_and_the_rest_stays(
    model_recipe: MakeRecipe, records: list[dict[str, Any]], precision: str
) -> None:
    assembled = build(model_recipe(lora={"r": 2}, precision=precision))
    model = assembled.model
    model.set_trainable(["aligners.image", "aligners.imu", "llm.lora"])
    model.train()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    frozen = {
        name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad
    }
    before = {name: p.detach().clone() for name, p in trainable.items()}
    optimiser = torch.optim.AdamW(trainable.values(), lr=1e-3, weight_decay=0.0)
    for _ in range(2):
        optimiser.zero_grad()
        model.loss(batch(assembled, records)).total.backward()
        optimiser.step()
        model.eval()  # an answer in between must not change the weights either
        answers(assembled, [{"messages": records[0]["messages"][:1]}], max_tokens=1)
        model.train()
    assert [n for n, p in trainable.items() if p.grad is None or not p.grad.any()] == []
    assert [n for n, p in trainable.items() if torch.equal(p, before[n])] == []
    now = dict(model.named_parameters())
    assert [name for name, tensor in frozen.items() if not torch.equal(tensor, now[name])] == []


def test_quantised_and_float_aligner_gradients_agree(
    model_recipe: MakeRecipe, records: list[dict[str, Any]]
) -> None:
    gradients = []
    for precision in ("fp32", "nf4"):
        torch.manual_seed(0)
        assembled = build(model_recipe(precision=precision))
        assembled.model.set_trainable(["aligners.image", "aligners.imu"])
        assembled.model.loss(batch(assembled, records)).total.backward()
        gradients.append(
            {
                name: torch.cat([p.grad.flatten() for p in aligner.parameters()])
                for name, aligner in assembled.model.aligners.items()
            }
        )
    for name, exact in gradients[0].items():
        held = gradients[1][name]
        assert held.any()
        assert float(torch.cosine_similarity(exact, held, dim=0)) > 0.9, name


def test_freezing_table(model_recipe: MakeRecipe) -> None:
    model = build(model_recipe(lora={"r": 2})).model
    align = {row.part: row for row in model.set_trainable(["aligners.imu"])}
    assert list(align) == [
        "encoders.image",
        "encoders.imu",
        "aligners.image",
        "aligners.imu",
        "llm",
        "lora",
    ]
    assert [part for part, row in align.items() if row.trainable] == ["aligners.imu"]
    assert align["aligners.imu"].trainable == align["aligners.imu"].total > 0
    instruct = model.set_trainable(["aligners.image", "aligners.imu", "llm.lora"])
    assert [row.part for row in instruct if row.trainable] == [
        "aligners.image",
        "aligners.imu",
        "lora",
    ]


def test_freezing_refuses_what_is_not_there(assembled: Assembled) -> None:
    with pytest.raises(RecipeError, match=r"'aligners\.video' matches no weight; the model"):
        assembled.model.set_trainable(["aligners.video"])
    with pytest.raises(RecipeError, match=r"set model\.lora"):
        assembled.model.set_trainable(["aligners.image", "llm.lora"])


def test_frozen_parts_stay_in_eval_mode(model_recipe: MakeRecipe) -> None:
    model = build(model_recipe(lora={"r": 2, "dropout": 0.5})).model.train()
    assert not any(module.training for module in model.llm.modules())
    model.set_trainable(["aligners.image", "llm.lora"])
    model.train()
    training = {name: module for name, module in model.named_modules() if module.training}
    assert "aligners.image" in training
    assert any(".lora_dropout." in name for name in training)
    assert not any(
        name.startswith(("encoders.image", "llm.model"))
        and ".lora_dropout." not in name
        and not hasattr(module, "lora_dropout")  # PEFT's layers look at their own flag
        for name, module in training.items()
    )


def test_trainable_state_round_trip(
    model_recipe: MakeRecipe, records: list[dict[str, Any]]
) -> None:
    torch.manual_seed(1)
    first = build(model_recipe(lora={"r": 2}))
    first.model.set_trainable(["aligners.image", "aligners.imu", "llm.lora"])
    for parameter in first.model.llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.manual_seed(2)
    second = build(model_recipe(lora={"r": 2}))
    second.model.load_trainable_state(first.model.trainable_state())
    with torch.no_grad():
        losses = [a.model.loss(batch(first, records)).total for a in (first, second)]
    assert torch.equal(*losses)


def test_state_that_does_not_fit_is_named(assembled: Assembled) -> None:
    state = assembled.model.trainable_state()
    queries = state.pop("aligners.image.queries")
    with pytest.raises(BundleError, match=r"aligners\.image\.queries is absent"):
        assembled.model.load_trainable_state(state)
    with pytest.raises(BundleError, match=r"\(1, 16\) in the saved state, \(32, 16\)"):
        assembled.model.load_trainable_state(state | {"aligners.image.queries": queries[:1]})


# --- answers ------------------------------------------------------------------------------------


def test_batch_answers_as_single(assembled: Assembled, records: list[dict[str, Any]]) -> None:
    for record in records:
        record["messages"].pop()
    together = answers(assembled, records, max_tokens=8)
    assert together == answers(assembled, records, batch_size=1, max_tokens=8)
    assert all(together)


def test_each_sample_has_a_seed_of_its_own(assembled: Assembled, talk: Talk) -> None:
    records = [talk("What colour?", images=[RED])] * 4
    options: dict[str, Any] = {"max_tokens": 8, "temperature": 1.0, "seed": 5}
    drawn = answers(assembled, records, **options)
    assert len(set(drawn)) == 4
    assert answers(assembled, records, batch_size=1, **options) == drawn


def test_cache_answers_as_without(assembled: Assembled, talk: Talk) -> None:
    record = talk("What colour?", images=[RED])
    (given,) = answers(assembled, [record], max_tokens=5)
    sample = assembled.processor(record, generate=True)
    chosen: list[int] = []
    while len(chosen) < 5:
        new = int(next_logits(assembled, _extend(sample, chosen)).argmax())
        if new in assembled.model.stop_ids:
            break
        chosen.append(new)
    tokenizer = assembled.processor.tokenizer
    assert tokenizer.decode(chosen, skip_special_tokens=True).strip() == given != ""


def _extend(sample: Any, ids: list[int]) -> Any:
    more = torch.tensor(ids, dtype=torch.int64)
    return replace(
        sample,
        ids=torch.cat([sample.ids, more]),
        labels=torch.cat([sample.labels, torch.full_like(more, -100)]),
    )


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
def test_encoders_may_compute_in_bfloat16(
    model_recipe: MakeRecipe, records: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    own = build(model_recipe())
    batch = collate([own.processor(record) for record in records], pad_id=own.processor.pad_id)
    # With AMX, oneDNN of PyTorch 2.13 is wrong about this motion encoder's convolution in steps of
    # its own width, by two thirds of the result; on a CPU, encoders compute in float32.
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        exact = own.model.loss(batch).per_sample
        own.model.encoders.to(torch.bfloat16)  # as on CUDA
        soft_tokens = own.model.align(own.model.encode(batch.media))
        rounded = own.model.loss(batch).per_sample
    assert {tokens.values.dtype for tokens in soft_tokens.values()} == {torch.float32}
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=2e-2, atol=0)
