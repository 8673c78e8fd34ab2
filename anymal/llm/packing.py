"""Samples one after the other in one row, or side by side, each of which attends to itself alone.

Everything but attention works on positions one by one, and in one row nothing of it is wasted on
padding. For attention itself, samples of similar length are laid side by side, so that no mask of
the whole row is ever made. Before each sample may stand the same prefix, whose keys and values are
given. Does not lay batches out (`anymal.collate`), and does not read the prefix
(`anymal.llm.shared_prefix`).

Shapes: B rows, T positions of a row; Hq heads that ask and H that answer; D width of a head; n
samples laid side by side, of L positions with padding; P positions of the prefix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from anymal.llm.attention import AttentionCall, attention_is
from anymal.llm.causal_lm import LLM
from anymal.llm.packable import check_same, installed, layer_shapes

_MOST_PADDING = 1.25  # the longest of the samples that are laid side by side over the shortest
_SELF_TEST = (19, 5, 18)  # lengths


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeysValues:
    """Keys and values of the positions before every sample, by layer: `[1, H, P, D]`."""

    keys: Mapping[int, Tensor]
    values: Mapping[int, Tensor]


class Packing:
    """Where the samples of a row stand.

    Args:
        lengths: Of the samples, in the order of the row.
        device: Where the row is.
    """

    def __init__(self, lengths: Sequence[int], *, device: torch.device | str = "cpu") -> None:
        row = torch.split(torch.arange(sum(lengths)), list(lengths))
        self._groups: list[tuple[Tensor, int]] = []  # [n * L] places in the row, and n
        found = torch.zeros(sum(lengths), dtype=torch.int64)
        num_before = 0
        for numbers in _groups(lengths):
            longest = max(lengths[number] for number in numbers)
            places = [_filled(row[number], longest) for number in numbers]
            for i, number in enumerate(numbers):
                found[row[number]] = torch.arange(lengths[number]) + num_before + i * longest
            num_before += longest * len(numbers)
            self._groups.append((torch.cat(places).to(device), len(numbers)))
        self._found = found.to(device)  # [T] places among the positions of all groups

    def laid_out(self, rows: Tensor) -> list[Tensor]:
        """Samples side by side, by similar length.

        Args:
            rows: `[1, H, T, D]`.

        Returns:
            Each `[n, H, L, D]`; right of a shorter sample stands its last position, again.
        """
        by_position = rows[0].transpose(0, 1)  # [T, H, D]
        return [
            by_position.index_select(0, places)
            .view(size, -1, *by_position.shape[1:])
            .transpose(1, 2)
            for places, size in self._groups
        ]

    def in_a_row(self, groups: Sequence[Tensor]) -> Tensor:
        """The opposite of `laid_out`, heads last.

        Args:
            groups: Each `[n, L, Hq, D]`.

        Returns:
            `[1, T, Hq, D]`.
        """
        rows = torch.cat([group.flatten(0, 1) for group in groups])
        return rows.index_select(0, self._found)[None]


class SampleAttention:
    """The attention of one batch; see `anymal.llm.attention.Attention`.

    Args:
        packing: Where the samples of the only row stand; None is one sample in each row.
        prefix: What stands before each sample.
    """

    def __init__(self, packing: Packing | None, *, prefix: KeysValues | None = None) -> None:
        self._packing = packing
        self._prefix = prefix

    def __call__(self, call: AttentionCall) -> Tensor:
        """Attend; no position reads what is to its right, padding included."""

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            if self._prefix is not None:
                assert call.layer is not None, "the self-test refuses layers without numbers"
                key = _after(self._prefix.keys[call.layer], key)
                value = _after(self._prefix.values[call.layer], value)
            return causal(query, key, value, scaling=call.scaling, window=call.window)

        if self._packing is None:
            return attend(call.query, call.key, call.value)
        laid_out = (self._packing.laid_out(rows) for rows in (call.query, call.key, call.value))
        return self._packing.in_a_row([attend(*heads) for heads in zip(*laid_out, strict=True)])


def causal(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, window: int | None
) -> Tensor:
    """Attention of the last L of P + L positions to themselves and to those before.

    Args:
        query: `[n, Hq, L, D]`.
        key: `[n, H, P + L, D]`.
        value: As `key`.
        scaling: Of the scores; None is one over the square root of D.
        window: How many positions back each may read, itself included; None is all.

    Returns:
        `[n, L, Hq, D]`.
    """
    asks, reads = query.shape[2], key.shape[2]
    mask: Tensor | None = None
    if window is not None and window < reads:
        mask = _window_mask(asks, reads, window, query.device)
        groups = query.shape[1] // key.shape[1]
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    elif asks < reads:
        mask = causal_lower_right(asks, reads)  # on CUDA no tensor: its kernels know it
    out = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2)


def allow_packing(llm: LLM) -> None:
    """Let a language model run batches that are packed or have a shared prefix.

    Otherwise it stays what it was. A prefix needs what packing needs.

    Args:
        llm: The model.

    Raises:
        Unpackable: It would compute something else; the message says why.
    """
    with installed(llm), torch.no_grad():
        layer_shapes(llm)
        ids = torch.arange(sum(_SELF_TEST), device=llm.device) * 7 % llm.vocab_size
        lengths = list(_SELF_TEST)
        samples = torch.split(llm.embed(ids), lengths)
        packing = Packing(_SELF_TEST, device=llm.device)
        places = [torch.arange(length, device=llm.device) for length in _SELF_TEST]
        with attention_is(SampleAttention(packing)):
            rows = torch.cat(samples)[None]
            packed = llm.decode(rows, positions=torch.cat(places)[None])[0]
        for own, rows, place in zip(
            torch.split(packed, list(_SELF_TEST)), samples, places, strict=True
        ):
            alone = llm.decode(rows[None], positions=place[None])[0]
            check_same(own, alone, is_exact=llm.precision == "fp32")


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of the samples, those of similar length together."""
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and lengths[number] <= _MOST_PADDING * lengths[groups[-1][0]]:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _filled(places: Tensor, length: int) -> Tensor:
    """The last of them again, up to a length."""
    return torch.cat([places, places[-1:].expand(length - len(places))])


def _after(prefix: Tensor, rows: Tensor) -> Tensor:
    """`[n, H, P + L, D]`, of `[1, H, P, D]` and `[n, H, L, D]`."""
    return torch.cat([prefix.expand(rows.shape[0], -1, -1, -1), rows], dim=2)


def _window_mask(asks: int, reads: int, window: int, device: torch.device) -> Tensor:
    """`[asks, reads]` bool."""
    asked = torch.arange(reads - asks, reads, device=device)[:, None]
    read = torch.arange(reads, device=device)
    return (read <= asked) & (read > asked - window)
