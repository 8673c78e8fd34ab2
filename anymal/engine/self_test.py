"""Whether a language model runs packed as it runs alone: two short sequences, before any request.

With side layers, each sequence reads media of its own, which must not be confused. Does not decide
what can be packed at all (`anymal.llm.packable`).

Shapes: T positions, D_llm embedding width, D layer width; Q soft tokens, D_side their width.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from anymal.engine.attention import PackedAttention, Stretch
from anymal.engine.blocks import BLOCK_SIZE
from anymal.engine.key_values import KeyValues
from anymal.engine.prompt import SideSpan
from anymal.engine.side import Beside, Kept, Reading
from anymal.llm.causal_lm import LLM
from anymal.llm.packable import check_same, first_positions, word_rows
from anymal.side.base import Side, side_is

Decode = Callable[[Tensor, Tensor, PackedAttention], Tensor]

_SEQUENCES = (21, 11)  # lengths that the self-test runs; longer than a block, and shorter
_PLACES = ((0, 12), (5,))  # before which positions media stand beside them


def self_test(llm: LLM, decode: Decode, cache: KeyValues, beside: Beside | None = None) -> None:
    """Run two sequences packed and alone, and compare; leaves the blocks that it used zero.

    Args:
        llm: The model.
        decode: Runs its layers on packed rows.
        cache: With five blocks or more.
        beside: Where it reads beside its rows, what with.

    Raises:
        Unpackable: They differ.
    """
    rows = word_rows(llm, sum(_SEQUENCES))[0]
    first, second = torch.split(rows, list(_SEQUENCES))
    blocks = ([2, 1], [3])
    half, last = BLOCK_SIZE // 2 + 1, _SEQUENCES[0] - 1
    steps = [  # of both sequences, as [start, stop)
        ((0, half), (0, 3)),
        ((half, last), (3, _SEQUENCES[1] - 1)),
        ((last, last + 1), (_SEQUENCES[1] - 1, _SEQUENCES[1])),
    ]
    outs: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.no_grad():
        kept = [] if beside is None else _kept(beside)
        for step in steps:
            stretches = [
                Stretch(start=start, stop=stop, blocks=own)
                for (start, stop), own in zip(step, blocks, strict=True)
            ]
            is_last = step is steps[-1]
            packed = PackedAttention(
                cache,
                decoding=stretches if is_last else [],
                chunks=[] if is_last else stretches,
                device=llm.device,
            )
            parts = [
                own[start:stop] for own, (start, stop) in zip((first, second), step, strict=True)
            ]
            places = [torch.arange(*each, device=llm.device) for each in step]
            with side_is(_side(beside, [*zip(kept, step, strict=False)])):
                hidden = decode(torch.cat(parts), torch.cat(places), packed)
            for out, part in zip(
                outs, torch.split(hidden, [len(part) for part in parts]), strict=True
            ):
                out.append(part)
        for i, (out, own) in enumerate(zip(outs, (first, second), strict=True)):
            with side_is(_side(beside, [(each, (0, len(own))) for each in kept[i : i + 1]])):
                where = first_positions(llm, len(own))
                alone = llm.decode(own[None], positions=where, cache=None)[0]
            check_same(torch.cat(out), alone, is_exact=llm.precision == "fp32")
    cache.scrub([1, 2, 3])


def _kept(beside: Beside) -> list[Kept]:
    """Media of both sequences, no two of them alike."""
    numbers = torch.arange(beside.layers.media_dim, dtype=torch.float32)

    def medium(seed: int) -> SideSpan:
        """One soft token, which every kind of side takes."""
        return SideSpan(embeddings=(numbers * seed).sin()[None], digest="", kind="self-test")

    media = ((medium(1), medium(2)), (medium(3),))
    return [beside.keep(own, places) for own, places in zip(media, _PLACES, strict=True)]


def _side(beside: Beside | None, stretches: Sequence[tuple[Kept, tuple[int, int]]]) -> Side | None:
    """What is read beside stretches of the sequences, one after the other."""
    if beside is None:
        return None
    return beside.side(
        [Reading(kept=kept, start=start, stop=stop) for kept, (start, stop) in stretches]
    )
