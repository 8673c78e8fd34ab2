"""Soft tokens that travel as text."""

import base64
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save
from transformers import AutoTokenizer

from anymal.chat.template import build_template
from anymal.errors import ConversationError, MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits
from anymal.media.soft_token_file import EMBEDS, embeds_digest, pack, unpack
from anymal.processor import ModalityInput, Processor
from anymal.protocol.conversation import read_conversation
from anymal.sample import Slot

FOUR = torch.arange(12.0).reshape(4, 3)


def read(text: str, limits: Limits | None = None) -> torch.Tensor:
    return unpack(text, width=3, limits=limits or Limits())


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_round_trip_keeps_every_bit() -> None:
    soft = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(read(pack(soft)), soft)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_become_float32(dtype: torch.dtype) -> None:
    found = read(pack(FOUR.to(dtype)))
    assert found.dtype == torch.float32
    assert torch.equal(found, FOUR)


def with_value(value: float) -> torch.Tensor:
    soft = FOUR.clone()
    soft[1, 1] = value
    return soft


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("!", MediaCorrupt, "base64"),
        (encoded(b"no such file"), MediaCorrupt, "safetensors"),
        (encoded(pickle.dumps([1.0])), MediaCorrupt, "safetensors"),
        (encoded(save({"other": FOUR})), MediaUnsupported, "other"),
        (encoded(save({EMBEDS: FOUR, "more": FOUR.clone()})), MediaUnsupported, "more"),
        (pack(FOUR.double()), MediaUnsupported, "float64"),
        (pack(FOUR.long()), MediaUnsupported, "int64"),
        (pack(FOUR[0]), MediaUnsupported, r"\[3\]"),
        (pack(FOUR.T.clone()), MediaUnsupported, r"\[3, 4\]"),
        (pack(FOUR[:0]), MediaUnsupported, r"\[0, 3\]"),
        (pack(with_value(float("nan"))), MediaCorrupt, "finite"),
        (pack(with_value(float("inf"))), MediaCorrupt, "finite"),
    ],
)
def test_refused(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read(text)


def test_size_is_limited() -> None:
    with pytest.raises(MediaTooLarge):
        read(pack(FOUR), Limits(max_bytes=50))


def test_many_names_are_refused_in_few_words() -> None:
    names = {f"t{number}": FOUR[:1].clone() for number in range(500)}
    with pytest.raises(MediaUnsupported) as caught:
        read(encoded(save(names)))
    assert len(str(caught.value)) < 400


def test_a_long_header_is_refused_before_it_is_read() -> None:
    header = b"{" + b" " * 2**17 + b"}"
    with pytest.raises(MediaTooLarge, match="131,074 bytes"):
        read(encoded(len(header).to_bytes(8, "little") + header))


def test_digest_tells_apart_shape_and_content() -> None:
    digests = {embeds_digest(soft) for soft in (FOUR, FOUR.reshape(3, 4), FOUR + 1)}
    assert len(digests) == 3
    assert embeds_digest(FOUR) == embeds_digest(FOUR.clone())


@pytest.fixture(name="make_processor")
def _make_processor(checkpoints: SimpleNamespace) -> Callable[..., Processor]:
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    image = ModalityInput(preprocessor=lambda signal: {}, num_tokens=3, prefix="<s>a")
    return lambda **more: Processor(
        tokenizer=tokenizer,
        template=build_template("llama2", tokenizer),
        modalities={"image": image},
        **{"max_tokens": 300, "embeds_dim": 3} | more,
    )


def talk(**fields: Any) -> Any:
    part = {"type": "prompt_embeds", "prompt_embeds": {"data": pack(FOUR), **fields}}
    return read_conversation({"messages": [{"role": "user", "content": [part]}]})


def test_they_get_a_slot_of_their_own_length(make_processor: Callable[..., Processor]) -> None:
    sample = make_processor()(talk(), generate=True)
    (slot,) = sample.slots
    assert slot == Slot(modality=EMBEDS, start=slot.start, length=4, item=0)
    assert torch.equal(sample.media[EMBEDS][0].tensors[EMBEDS], FOUR)
    assert sample.media[EMBEDS][0].digest == embeds_digest(FOUR)


def test_they_can_stand_where_a_medium_would(make_processor: Callable[..., Processor]) -> None:
    bare = make_processor()(talk(), generate=True)
    dressed = make_processor()(talk(modality="image"), generate=True)
    assert len(dressed.ids) > len(bare.ids)  # the prefix and the line break of an image
    with pytest.raises(ConversationError, match="'smell'"):
        make_processor()(talk(modality="smell"), generate=True)


def test_they_count_against_the_limit(make_processor: Callable[..., Processor]) -> None:
    length = len(make_processor()(talk(), generate=True).ids)
    with pytest.raises(ConversationError, match=f"takes {length} tokens"):
        make_processor(max_tokens=length - 1)(talk(), generate=True)


def test_they_are_refused_where_there_is_no_width_and_in_training(
    make_processor: Callable[..., Processor],
) -> None:
    with pytest.raises(ConversationError, match="takes no prompt_embeds"):
        make_processor(embeds_dim=None)(talk(), generate=True)
    with pytest.raises(ConversationError, match="not learnt from"):
        make_processor()(talk())
