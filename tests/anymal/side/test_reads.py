"""Which positions read which media, and that they read what a mask of everything would give."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from anymal.side.base import Memory, joined
from anymal.side.reads import Reader, Reads, Stretch, media_stretches


def media_of(stretches: list[Stretch], length: int) -> list[list[int]]:
    """The media that each position reads, counted from 1 as in the papers."""
    read: list[list[int]] = [[] for _ in range(length)]
    for each in stretches:
        for position in range(each.start, each.stop):
            read[position] = [number + 1 for number in range(each.first, each.last)]
    return read


def test_a_position_reads_the_last_medium_before_it_as_in_openflamingo() -> None:
    # [x, <image>, a, b, <image>, c]: a medium stands before its own <image>.
    reader = Reader(start=0, length=6, offset=0, places=(1, 4))
    last = media_of(media_stretches([reader], reads_all=False), 6)
    assert last == [[], [1], [1], [1], [2], [2]]
    every = media_of(media_stretches([reader], reads_all=True), 6)
    assert every == [[], [1], [1], [1], [1, 2], [1, 2]]


def test_a_part_of_a_sequence_reads_what_stands_before_it() -> None:
    # The same sequence in three steps, beside another one with one medium at its first position.
    other = Reader(start=0, length=2, offset=0, places=(0,))
    for offset, length, wanted in [
        (0, 3, [[], [2], [2]]),
        (2, 3, [[2], [2], [3]]),
        (5, 1, [[3]]),  # a step without any <image> reads the last one
    ]:
        part = Reader(start=2, length=length, offset=offset, places=(1, 4))
        stretches = media_stretches([other, part], reads_all=False)
        assert media_of(stretches, 2 + length) == [[1], [1], *wanted]


def test_media_one_after_the_other_leave_the_last_to_be_read() -> None:
    reader = Reader(start=0, length=2, offset=0, places=(0, 0, 1))
    assert media_of(media_stretches([reader], reads_all=False), 2) == [[2], [3]]
    assert media_of(media_stretches([reader], reads_all=True), 2) == [[1, 2], [1, 2, 3]]


def test_reading_equals_attention_under_a_mask_of_everything() -> None:
    torch.manual_seed(0)
    num_positions, num_items, num_places = 23, 5, 3
    stretches = [
        Stretch(start=1, stop=6, first=0, last=1),
        Stretch(start=6, stop=7, first=0, last=2),
        Stretch(start=9, stop=13, first=3, last=4),
        Stretch(start=13, stop=18, first=2, last=3),
        Stretch(start=20, stop=23, first=3, last=5),
    ]
    query = torch.randn(num_positions, 4, 8)
    key, value = torch.randn(2, num_items, 2, num_places, 8)
    mask = torch.rand(num_items, num_places) > 0.4
    mask[:, 0] = True
    allowed = torch.zeros(num_positions, num_items, dtype=torch.bool)
    for each in stretches:
        allowed[each.start : each.stop, each.first : each.last] = True
    for seen in (None, mask):
        whole = allowed[:, :, None].expand(-1, -1, num_places)
        whole = whole if seen is None else whole & seen
        wanted = scaled_dot_product_attention(
            query.transpose(0, 1),
            key.transpose(0, 1).flatten(1, 2),
            value.transpose(0, 1).flatten(1, 2),
            attn_mask=whole.flatten(1),
            scale=0.3,
            enable_gqa=True,
        ).transpose(0, 1)
        wanted = wanted.masked_fill(~allowed.any(1)[:, None, None], 0.0)
        reads = Reads(stretches, num_positions=num_positions, device="cpu")
        own = reads.attend(query, key, value, mask=seen, scaling=0.3)
        torch.testing.assert_close(own, wanted)


def test_nothing_to_read_gives_zeros() -> None:
    reads = Reads([], num_positions=3, device="cpu")
    none = torch.zeros(0, 2, 1, 8)
    assert torch.equal(
        reads.attend(torch.randn(3, 2, 8), none, none, mask=None), torch.zeros(3, 2, 8)
    )


def test_joined_memories_mask_what_fills_up_shorter_items() -> None:
    torch.manual_seed(0)
    short, long = torch.randn(1, 2, 2, 4), torch.randn(2, 2, 3, 4)
    memory = joined(
        [
            Memory(keys={7: short}, values={7: short}, mask=None),
            Memory(keys={7: long}, values={7: long}, mask=None),
        ]
    )
    assert memory.mask is not None
    assert memory.mask.tolist() == [[True, True, False], [True] * 3, [True] * 3]
    assert torch.equal(memory.keys[7][0, :, :2], short[0])
    assert torch.equal(memory.values[7][1:], long)
