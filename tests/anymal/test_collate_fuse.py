"""Samples to a batch, and soft tokens into their slots."""

from collections.abc import Sequence

import pytest
import torch

from aligners.base import SoftTokens
from anymal.collate import collate
from anymal.errors import DataError
from anymal.fusion import fuse
from anymal.sample import IGNORED, SLOT_ID, Item, Sample, Slot


def sample(spec: Sequence[int | str], *, learnt: int = 1, name: str = "s") -> Sample:
    """Ids, with 'i' for an image of 2 soft tokens and 'a' for a sound of 3."""
    ids: list[int] = []
    slots = []
    media: dict[str, list[Item]] = {}
    for item in spec:
        if isinstance(item, int):
            ids.append(item)
            continue
        modality, length = {"i": ("image", 2), "a": ("audio", 3)}[item]
        slots.append(Slot(modality=modality, start=len(ids), length=length))
        items = media.setdefault(modality, [])
        value = torch.full((1 + len(items),), float(len(ids)))
        items.append(Item(tensors={"value": value}, digest=f"{name} {len(ids)}"))
        ids += [SLOT_ID] * length
    labels = [IGNORED] * (len(ids) - learnt) + ids[len(ids) - learnt :]
    return Sample(
        ids=torch.tensor(ids),
        labels=torch.tensor(labels),
        slots=tuple(slots),
        media=media,
        name=name,
    )


MIXED = [sample([7, "i", 8, "a", 9, 5], learnt=2, name="long"), sample([6, "a", 4], name="short")]


def test_padding_stands_on_the_right() -> None:
    batch = collate(MIXED, pad_id=2)
    assert batch.ids.shape == (2, 9)
    assert batch.ids[1].tolist() == [6, SLOT_ID, SLOT_ID, SLOT_ID, 4, 2, 2, 2, 2]
    assert batch.lengths == (9, 5)
    assert batch.positions[1].tolist() == list(range(9))


def test_words_are_told_from_padding_by_lengths_not_by_ids() -> None:
    batch = collate([sample([2, 2, 2])], pad_id=2)
    assert len(batch.text_rows) == 3


def test_token_counts_that_differ_keep_labels_aligned() -> None:
    batch = collate(MIXED, pad_id=2)
    flat = batch.ids.flatten()
    lengths = {name: slots.lengths for name, slots in batch.slots.items()}
    assert lengths == {"image": (2,), "audio": (3, 3)}
    for slots in batch.slots.values():
        assert (flat[slots.positions] == SLOT_ID).all()
    assert flat[batch.target_rows + 1].tolist() == batch.target_ids.tolist() == [9, 5, 4]
    assert sorted(flat[batch.text_rows].tolist()) == [4, 5, 6, 7, 8, 9]


def test_media_are_in_the_order_of_their_slots() -> None:
    batch = collate([sample(["a", 1, "a", 5], name="two"), sample([9, 9, "a", 5])], pad_id=2)
    assert batch.media["audio"].counts.tolist() == [1, 2, 1]
    assert batch.media["audio"].tensors["value"].tolist() == [0.0, 4.0, 4.0, 2.0]
    assert batch.slots["audio"].positions[::3].tolist() == [0, 4, 8 + 2]


def test_slots_without_media_name_both_numbers() -> None:
    broken = sample([1, "i", 5])
    broken.media["image"].append(broken.media["image"][0])
    with pytest.raises(DataError, match="reserves 1 slots for image but holds 2 items"):
        collate([broken], pad_id=2)


def test_to_keeps_everything() -> None:
    batch = collate(MIXED, pad_id=2)
    moved = batch.to("cpu")
    assert torch.equal(moved.ids, batch.ids)
    assert moved.names == ("long", "short")
    assert set(moved.media) == {"image", "audio"}


def fused(tokens: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    batch = collate(MIXED, pad_id=2)
    ids = batch.ids.flatten()[batch.text_rows]
    words = ids[:, None].expand(-1, 4).to(dtype)
    soft_tokens = {name: SoftTokens(values=values) for name, values in tokens.items()}
    return fuse(
        words,
        soft_tokens,
        text_rows=batch.text_rows,
        slots=batch.slots,
        shape=tuple(batch.ids.shape),
    )


def test_fuse_puts_everything_in_its_place() -> None:
    image = torch.arange(2.0).view(1, 2, 1).expand(-1, -1, 4) + 100
    audio = torch.arange(6.0).view(2, 3, 1).expand(-1, -1, 4) + 200
    rows = fused({"image": image, "audio": audio})
    assert rows[0, :, 0].tolist() == [7, 100, 101, 8, 200, 201, 202, 9, 5]
    assert rows[1, :, 0].tolist() == [6, 203, 204, 205, 4, 0, 0, 0, 0]


def test_fuse_is_the_dtype_boundary_and_lets_gradients_through() -> None:
    image = torch.ones(1, 2, 4, requires_grad=True)
    audio = torch.ones(2, 3, 4, requires_grad=True)
    rows = fused({"image": image, "audio": audio}, torch.bfloat16)
    assert rows.dtype == torch.bfloat16
    rows.sum().backward()
    for tokens in (image, audio):
        assert tokens.grad is not None
        assert torch.equal(tokens.grad, torch.ones_like(tokens))


def test_fuse_rejects_count_mismatch() -> None:
    with pytest.raises(DataError) as error:
        fused({"image": torch.ones(1, 2, 4), "audio": torch.ones(2, 4, 4)})
    assert "2 slots of 3 positions" in str(error.value)
    assert "2 items of 4 soft tokens" in str(error.value)


def test_fuse_rejects_a_missing_modality() -> None:
    with pytest.raises(DataError, match="image"):
        fused({"audio": torch.ones(2, 3, 4)})


def test_slots_of_any_length_equal_a_loop() -> None:
    lengths, repeats = [3, 0, 7, 2], [0, 2, 1, 2, 3, 0]  # which item each slot shows
    random = torch.Generator().manual_seed(0)
    values = torch.randn(4, 9, 5, generator=random)
    mask = torch.zeros(4, 9, dtype=torch.bool)
    for item, length in enumerate(lengths):
        mask[item, torch.randperm(9, generator=random)[:length]] = True
    samples = []
    for item in repeats:
        length = lengths[item]
        ids = torch.tensor([7, *[SLOT_ID] * length, 8, 9])
        tensors = {"value": torch.full((1,), float(item))}
        samples.append(
            Sample(
                ids=ids,
                labels=torch.where(ids == 9, ids, IGNORED),
                slots=(Slot(modality="image", start=1, length=length),),
                media={"image": [Item(tensors=tensors, digest=str(item))]},
            )
        )
    batch = collate(samples, pad_id=2)
    order = [0, 2, 1, 3]  # as they come
    assert batch.media["image"].tensors["value"].tolist() == order
    soft_tokens = SoftTokens(values=values[order], mask=mask[order])
    words = batch.ids.flatten()[batch.text_rows, None].expand(-1, 5).float()
    shape = (len(samples), batch.ids.shape[1])
    rows = fuse(
        words,
        {"image": soft_tokens},
        text_rows=batch.text_rows,
        slots=batch.slots,
        shape=shape,
    )
    for row, item in zip(rows, repeats, strict=True):
        own = values[item, mask[item]]
        expected = torch.cat(
            [torch.full((1, 5), 7.0), own, torch.full((1, 5), 8.0), torch.full((1, 5), 9.0)]
        )
        assert torch.equal(row[: len(expected)], expected)
        assert not row[len(expected) :].any()
    with pytest.raises(DataError, match=r"4 slots of 3, 7, 0 and 2 .* 4 items of 3, 0, 7 and 2 "):
        fuse(
            words,
            {"image": SoftTokens(values=values, mask=mask)},
            text_rows=batch.text_rows,
            slots=batch.slots,
            shape=shape,
        )
