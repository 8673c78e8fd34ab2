"""Packed, and with what is constant left out: the same losses and gradients as side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anymal.collate import Batch, collate
from anymal.llm.load import load_llm
from anymal.llm.lora import LoraOptions
from anymal.llm.packable import Unpackable
from anymal.llm.packing import Packing, allow_packing
from anymal.model import AnyMAL
from anymal.sample import IGNORED, SLOT_ID, Item, Sample, Slot
from encoders.base import EncoderInputs, Features
from tests.tiny import save_llm

SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "mistral": {"sliding_window": 7},
}
LENGTHS = (21, 13, 40, 20, 22)
PREFIX = 9


class Passing(nn.Module):
    """An encoder that sees what it is given."""

    def forward(self, inputs: EncoderInputs) -> Features:
        values = inputs.tensors["value"]
        mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return Features(values=values, mask=mask, steps=mask.long())


class Projecting(nn.Module):
    """An aligner of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, SIZES["hidden_size"])

    def forward(self, features: Features) -> Tensor:
        soft_tokens: Tensor = self.layer(features.values)
        return soft_tokens


@pytest.fixture(scope="module")
def make_model(
    checkpoints: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AnyMAL]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    def make(family: str, *, precision: str = "fp32", lora: bool = False) -> AnyMAL:
        folder: Path = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **SIZES, **FAMILIES[family])
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(checkpoints.llm).save_pretrained(folder)
        llm = load_llm(
            str(folder),
            precision=precision,  # type: ignore[arg-type]
            lora=LoraOptions(r=2) if lora else None,
        )
        torch.manual_seed(0)
        return AnyMAL(encoders={"image": Passing()}, aligners={"image": Projecting()}, llm=llm)

    return make


def samples(lengths: Sequence[int] = LENGTHS) -> list[Sample]:
    """The same words first, then a picture of three soft tokens, then words, some of them learnt.

    The last sample has no picture.
    """
    random = torch.Generator().manual_seed(5)
    made = []
    for number, length in enumerate(lengths):
        ids = torch.randint(320, (length,), generator=random)
        ids[:PREFIX] = torch.arange(PREFIX) + 30
        ids[PREFIX] = number
        has_picture = number < len(lengths) - 1
        value = torch.randn(1, 3, 6, generator=random)
        if has_picture:
            ids[PREFIX : PREFIX + 3] = SLOT_ID
        labels = ids.clone()
        labels[: PREFIX + 3] = IGNORED
        labels[-2:-1] = IGNORED
        made.append(
            Sample(
                ids=ids,
                labels=labels,
                slots=(Slot(modality="image", start=PREFIX, length=3),) if has_picture else (),
                media={"image": [Item(tensors={"value": value}, digest=f"{value.tolist()}")]}
                if has_picture
                else {},
                name=str(number),
            )
        )
    return made


@dataclass
class Result:
    total: float
    per_sample: Tensor
    gradients: list[Tensor]


def result(model: AnyMAL, batch: Batch) -> Result:
    model.zero_grad()
    model.train()
    loss = model.loss(batch)
    loss.total.backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return Result(loss.total.item() / loss.count, loss.per_sample, gradients)


def assert_equal(own: Result, wanted: Result) -> None:
    assert own.total == pytest.approx(wanted.total, rel=1e-5)
    torch.testing.assert_close(own.per_sample, wanted.per_sample, rtol=1e-5, atol=1e-5)
    assert len(own.gradients) == len(wanted.gradients) > 0
    for one, other in zip(own.gradients, wanted.gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


LAYOUTS = [(True, False), (False, True), (True, True)]  # packed, without the prefix


@pytest.mark.parametrize(
    ("family", "precision"),
    [("llama", "fp32"), ("llama", "nf4"), ("qwen2", "fp32"), ("qwen2", "nf4"), ("mistral", "fp32")],
)
def test_every_layout_gives_the_same_loss_and_gradients(
    make_model: Callable[..., AnyMAL], family: str, precision: str
) -> None:
    model = make_model(family, precision=precision)
    model.set_trainable(["aligners.image"])
    wanted = result(model, collate(samples(), pad_id=2))  # before anything of ours is installed
    allow_packing(model.llm)
    for checkpointing in (False, True):
        model.llm.use_checkpointing(checkpointing)
        for is_packed, splits_prefix in LAYOUTS:
            batch = collate(samples(), pad_id=2, is_packed=is_packed, splits_prefix=splits_prefix)
            assert len(batch.prefix) == (PREFIX if splits_prefix else 0)
            assert batch.num_positions == sum(LENGTHS)
            for _ in range(2):  # the prefix is read, then found
                assert_equal(result(model, batch), wanted)


def test_packing_gives_lora_the_same_gradients(make_model: Callable[..., AnyMAL]) -> None:
    model = make_model("llama", lora=True)
    model.set_trainable(["aligners.image", "llm.lora"])
    for name, parameter in model.llm.lora_parameters().items():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=0.1)
    wanted = result(model, collate(samples(), pad_id=2))
    allow_packing(model.llm)
    assert_equal(result(model, collate(samples(), pad_id=2, is_packed=True)), wanted)
    with pytest.raises(AssertionError, match="no shared prefix"):
        model.loss(collate(samples(), pad_id=2, splits_prefix=True))


def test_a_prefix_is_forgotten_with_the_weights_it_came_from(
    make_model: Callable[..., AnyMAL],
) -> None:
    model = make_model("llama", lora=True)
    allow_packing(model.llm)
    model.set_trainable(["aligners.image"])
    batch = collate(samples(), pad_id=2, splits_prefix=True)
    before = result(model, batch).total
    state = {name: tensor.clone() for name, tensor in model.trainable_state().items()}
    for name, tensor in state.items():
        if ".lora_B." in name:
            nn.init.normal_(tensor, std=0.2)
    model.load_trainable_state(state)
    own, wanted = result(model, batch), result(model, collate(samples(), pad_id=2))
    assert own.total != pytest.approx(before, rel=1e-3)
    assert_equal(own, wanted)


def test_a_sample_alone_leaves_out_all_words_before_its_picture() -> None:
    batch = collate(samples()[:1], pad_id=2, splits_prefix=True)
    assert len(batch.prefix) == PREFIX
    assert batch.positions[0, 0] == PREFIX
    assert batch.slots["image"].positions.tolist() == [0, 1, 2]


def test_a_prefix_ends_before_the_first_word_that_is_learnt() -> None:
    (sample,) = samples([14])
    assert not sample.slots
    labels = sample.labels.clone()
    labels[10] = sample.ids[10]
    learnt = Sample(ids=sample.ids, labels=labels, slots=(), media={}, name="early")
    batch = collate([learnt], pad_id=2, splits_prefix=True)
    assert len(batch.prefix) == 9
    assert batch.target_rows[0] == 0
    assert batch.target_ids[0] == sample.ids[10]


def test_a_model_that_cannot_be_packed_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    path = save_llm(tmp_path / "dynamic", rope_parameters=scaling)
    llm = load_llm(str(path), precision="fp32")
    with pytest.raises(Unpackable, match="rotary positions depend"):
        allow_packing(llm)
    assert not llm.attends_our_way


def test_samples_come_back_from_their_groups_in_order() -> None:
    lengths = [5, 9, 4, 1, 8, 5]
    packing = Packing(lengths)
    rows = torch.arange(2 * 32 * 3.0).view(1, 2, 32, 3)
    groups = packing.laid_out(rows)
    assert sorted((len(group), group.shape[2]) for group in groups) == [(1, 1), (2, 9), (3, 5)]
    back = packing.in_a_row([group.transpose(1, 2) for group in groups])
    assert torch.equal(back, rows.transpose(1, 2))
