"""What reads beside the row trains packed, checkpointed and alone, and nothing else changes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from anymal.collate import Batch, collate
from anymal.llm.attention import attention_is
from anymal.llm.packing import Packing, SampleAttention, allow_packing
from anymal.llm.short_decoder import short_decoder
from anymal.model import AnyMAL
from anymal.sample import IGNORED, Sample
from anymal.side.base import SideLayers, side_is
from anymal.side.cross import Cross
from anymal.side.prefix import Prefix
from anymal.side.sizes import DecoderSizes
from tests.anymal.side.models import (
    HEADS,
    LAYERS,
    WIDTH,
    Projecting,
    beside,
    llama,
    logits,
    open_gates,
    samples,
)

DECODER = DecoderSizes(
    num_layers=LAYERS, hidden_dim=WIDTH, num_heads=HEADS, head_dim=WIDTH // HEADS
)
SIDES: dict[str, Callable[[], SideLayers]] = {
    "cross": lambda: Cross(sizes=DECODER, every=2, num_heads=2, head_dim=8),
    "cross all": lambda: Cross(
        sizes=DECODER,
        num_heads=2,
        head_dim=8,
        reads="all",
        gate="vector",
        feed_forward="swiglu",
        normalise_heads=True,
    ),
    "prefix": lambda: Prefix(sizes=DECODER, num_tokens=5, layers=2),
}
TOKENS = 5


def make(kind: str, *, is_open: bool = True) -> AnyMAL:
    torch.manual_seed(4)
    side, aligner = SIDES[kind](), Projecting(WIDTH)
    if is_open:
        open_gates(side)
    return beside(llama(num_key_value_heads=2), side, aligner=aligner)


def result(model: AnyMAL, batch: Batch) -> tuple[float, Tensor, dict[str, Tensor]]:
    model.zero_grad()
    model.train()
    loss = model.loss(batch)
    loss.total.backward()
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return loss.total.item(), loss.per_sample, gradients


@pytest.mark.parametrize("kind", SIDES)
def test_packed_and_checkpointed_give_the_same_loss_and_gradients(kind: str) -> None:
    model = make(kind)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    assert set(frozen) == {name for name, _ in model.named_parameters() if name.startswith("llm.")}
    chosen = samples(WIDTH, TOKENS)
    total, per_sample, gradients = result(model, collate(chosen, pad_id=2))
    assert set(gradients) == {n for n, p in model.named_parameters() if p.requires_grad}
    assert all(bool(each.any()) for each in gradients.values())
    allow_packing(model.llm)
    for is_packed in (False, True):
        for checkpointing in (False, True):
            model.use_checkpointing(checkpointing)
            batch = collate(chosen, pad_id=2, is_packed=is_packed)
            own = result(model, batch)
            assert own[0] == pytest.approx(total, rel=1e-5)
            torch.testing.assert_close(own[1], per_sample, rtol=1e-5, atol=1e-5)
            for name, gradient in gradients.items():
                size = float(gradient.abs().max())
                torch.testing.assert_close(own[2][name], gradient, rtol=1e-4, atol=1e-5 * size)
    for name, parameter in model.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name]), name


@pytest.mark.parametrize("kind", SIDES)
def test_at_first_the_model_is_what_it_was_and_only_gates_learn(kind: str) -> None:
    model = make(kind, is_open=False)
    chosen = samples(WIDTH, TOKENS)
    bare = logits(beside(llama(num_key_value_heads=2), None), [_without_media(s) for s in chosen])
    for own, wanted in zip(logits(model, chosen), bare, strict=True):
        assert torch.equal(own, wanted)
    _, _, gradients = result(model, collate(chosen, pad_id=2))
    learn = {name for name, gradient in gradients.items() if bool(gradient.any())}
    gates = {n for n, p in model.side.named_parameters() if ".gate" in n and p.ndim == 1}  # type: ignore[union-attr]
    assert learn == {f"side.{name}" for name in gates}


@pytest.mark.parametrize("kind", SIDES)
def test_autocast_moves_the_loss_by_rounding_alone(kind: str) -> None:
    model = make(kind)
    batch = collate(samples(WIDTH, TOKENS), pad_id=2)
    wanted = model.loss(batch).total.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model.loss(batch).total.item()
    assert rounded == pytest.approx(wanted, rel=0.02)
    assert rounded != wanted


def test_beside_a_side_that_is_frozen_no_prefix_is_split_off_either() -> None:
    model = make("cross")
    assert model.side is not None
    model.side.requires_grad_(False)
    allow_packing(model.llm)
    given = samples(WIDTH, TOKENS)[1]
    labels = given.labels.clone()
    labels[:15] = IGNORED
    late = replace(given, labels=labels, slots=(replace(given.slots[0], start=15),))
    batch = collate([late], pad_id=2, splits_prefix=True)
    assert batch.prefix
    with pytest.raises(AssertionError, match="changes every position"):
        model.loss(batch)


@pytest.mark.parametrize("kind", SIDES)
def test_layers_called_part_by_part_read_beside_too(kind: str) -> None:
    model = make(kind)
    allow_packing(model.llm)
    short = short_decoder(model.llm)
    assert short is not None
    batch = collate(samples(WIDTH, TOKENS), pad_id=2, is_packed=True)
    with torch.no_grad():
        soft_tokens = model.align(model.encode(batch.media))
        side = model.beside(batch, soft_tokens)
        rows = model.fuse(batch, soft_tokens)
        wanted = model.decode(rows, batch, side)[0]
        attention = SampleAttention(Packing(batch.lengths))
        with side_is(side), attention_is(None):
            own = short.decode(rows[0], batch.positions[0], attention)
        alone = short.decode(rows[0], batch.positions[0], attention)
    torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone, wanted, atol=1e-2)


def _without_media(given: Sample) -> Sample:
    return replace(given, slots=(), media={})
