"""Attention over blocks is plain attention of each sequence, wherever its blocks are."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from anymal.engine.attention import PackedAttention, Stretch
from anymal.engine.key_values import KeyValues
from anymal.llm.attention import AttentionCall
from anymal.llm.packable import LayerShape

HEADS, ASK, WIDTH = 2, 6, 8
IN_A_ROW = ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [14, 15])
SCATTERED = ([9, 2, 13, 4, 5, 1, 7, 8, 3, 10, 15, 12, 6], [11, 14])


def plain(query: Tensor, key: Tensor, value: Tensor, window: int | None) -> Tensor:
    """Each of the last positions reads what comes before it; all `[positions, heads, WIDTH]`."""
    asks = torch.arange(len(key) - len(query), len(key))[:, None]
    reads = torch.arange(len(key))
    allowed = (reads <= asks) & (reads > asks - (window or len(key)))
    keys, values = (each.repeat_interleave(ASK // HEADS, dim=1) for each in (key, value))
    q, k, v = (each.transpose(0, 1) for each in (query, keys, values))
    return scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(0, 1)


@pytest.mark.parametrize("blocks", [IN_A_ROW, SCATTERED])
@pytest.mark.parametrize("window", [None, 50])
def test_it_is_plain_attention_of_each_sequence(
    blocks: tuple[list[int], list[int]], window: int | None
) -> None:
    torch.manual_seed(0)
    device = torch.device("cpu")
    shape = LayerShape(num_heads=HEADS, key_dim=WIDTH, value_dim=WIDTH)
    cache = KeyValues({0: shape}, num_blocks=16, dtype=torch.float64, device=device)
    lengths = (200, 20)
    rows = [torch.randn(length, ASK + 2 * HEADS, WIDTH).double() for length in lengths]
    parts = [each.split([ASK, HEADS, HEADS], dim=1) for each in rows]
    found: list[list[Tensor]] = [[], []]
    # A short chunk beside a long one, which is more than a CPU reads at once; then one word each.
    for step in (((0, 3), (0, 19)), ((3, 199), None), ((199, 200), (19, 20))):
        going = [(each, *span) for each, span in enumerate(step) if span is not None]
        stretches = [
            Stretch(start=start, stop=stop, blocks=blocks[each]) for each, start, stop in going
        ]
        is_last = step[0] == (199, 200)
        attention = PackedAttention(
            cache,
            decoding=stretches if is_last else [],
            chunks=[] if is_last else stretches,
            device=device,
        )
        query, key, value = (
            torch.cat([parts[each][kind][start:stop] for each, start, stop in going])
            .transpose(0, 1)
            .unsqueeze(0)
            for kind in range(3)
        )
        call = AttentionCall(
            layer=0, query=query, key=key, value=value, scaling=None, window=window, others={}
        )
        out = attention(call)[0]
        pieces = out.split([stop - start for _, start, stop in going])
        for (each, _, _), piece in zip(going, pieces, strict=True):
            found[each].append(piece)
    for own, part in zip(found, parts, strict=True):
        torch.testing.assert_close(torch.cat(own), plain(*part, window))
