"""Features projected one by one, as they are or averaged or joined: one aligner for many systems.

Does not mix features beyond averaging and joining neighbours.

Shapes: M media items, F features per item, Q soft tokens per item, D_enc encoder width,
D_llm width of the language model's embeddings.
"""

from collections.abc import Sequence
from itertools import islice
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aligners.base import SoftTokens, real_values, start_at_rms
from aligners.layers import ACTIVATIONS, NORMS, Activation, Norm, Start, check_known
from aligners.limits import AlignerError
from aligners.pooling import pool_features
from encoders.base import Features, Layout

_PROBE_FEATURES = 64


class Projection(nn.Module):
    """A projection of each feature, of each group of neighbours, or of Q averages.

    The projectors of LLaVA, LLaVA-NeXT, Qwen2-Audio, Voxtral, Ultravox, InternVL and Idefics3 are
    settings of it; those of the last two join squares of features, whose order an encoder makes.

    Args:
        encoder_dim: D_enc.
        llm_dim: D_llm.
        embedding_rms: How large soft tokens are at first, with `start: rms`.
        num_tokens: Q; None gives one soft token for each real feature, or group of them.
        depth: Linear layers, 1 or 2.
        hidden_dim: Width between two layers; None takes D_llm.
        activation: Between two layers; `swiglu` halves the width.
        bias: Of the linear layers.
        merge: How many neighbours are joined, side by side, before anything else; zeros fill up
            the last group.
        norm: Of the input; `standard` has no weights and lets the first scale hold for any
            encoder.
        norm_middle: In front of the second layer.
        norm_out: Of the output.
        newline: Add a learnt soft token to the end of each row of the layout.
        start: Scale the output so that soft tokens start as large as words, or leave it `plain`.

    Raises:
        AlignerError: Settings do not fit together, or a name is unknown.
    """

    scale: Tensor

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        embedding_rms: float,
        num_tokens: int | None = 64,
        depth: int = 2,
        hidden_dim: int | None = None,
        activation: Activation = "gelu",
        bias: bool = True,
        merge: int = 1,
        norm: Norm = "standard",
        norm_middle: Norm = "none",
        norm_out: Norm = "none",
        newline: bool = False,
        start: Start = "rms",
    ) -> None:
        super().__init__()
        check_known("activation", activation, list(ACTIVATIONS))
        check_known("start", start, get_args(Start))
        for name, given in {"norm": norm, "norm_middle": norm_middle, "norm_out": norm_out}.items():
            check_known(name, given, list(NORMS))
        hidden = llm_dim if hidden_dim is None else hidden_dim
        _check_sizes(depth=depth, merge=merge, hidden=hidden, halves=activation == "swiglu")
        if newline and (merge > 1 or num_tokens is not None):
            raise AlignerError("newline: true needs num_tokens: null and merge: 1, which keep rows")
        self.num_tokens = num_tokens
        self.merge = merge
        width = merge * encoder_dim
        self.norm = NORMS[norm](width)
        self.project: nn.Module
        if depth == 1:
            self.project = nn.Linear(width, llm_dim, bias=bias)
        else:
            middle = hidden // 2 if activation == "swiglu" else hidden
            norms: list[nn.Module] = [] if norm_middle == "none" else [NORMS[norm_middle](middle)]
            self.project = nn.Sequential(
                nn.Linear(width, hidden, bias=bias),
                ACTIVATIONS[activation](),
                *norms,
                nn.Linear(middle, llm_dim, bias=bias),
            )
        self.norm_out = NORMS[norm_out](llm_dim)
        self.newline = nn.Parameter(torch.randn(llm_dim) * embedding_rms) if newline else None
        self.register_buffer("scale", torch.ones(()))
        if start == "rms":
            start_at_rms(
                self._projected,
                self.scale,
                num_features=num_tokens or _PROBE_FEATURES,
                encoder_dim=encoder_dim,
                rms=embedding_rms,
            )

    def count(self, layout: Layout) -> int:
        """Q of an item."""
        if self.num_tokens is not None:
            return self.num_tokens
        newlines = 0 if self.newline is None else layout.views * layout.rows
        return -(-layout.count // self.merge) + newlines

    def forward(self, features: Features) -> SoftTokens:
        """Turn features into soft tokens.

        Args:
            features: `[M, F, D_enc]`; outside the mask they change nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]`.

        Raises:
            AlignerError: Rows are needed, and the features do not tell theirs.
        """
        made = self._projected(features)
        if self.newline is None:
            return made
        if features.layouts is None:
            raise AlignerError("newline: true needs an encoder that tells the layouts of media")
        return _with_newlines(made, self.newline, features.layouts)

    def _projected(self, features: Features) -> SoftTokens:
        """The soft tokens without ends of rows."""
        values, mask = real_values(features), features.mask
        if self.merge > 1:
            values, mask = _merged(values, mask, self.merge)
        values = self.norm(values)
        if self.num_tokens is not None:
            values = pool_features(values, mask, self.num_tokens)
        projected: Tensor = self.norm_out(self.project(values)) * self.scale
        return SoftTokens(values=projected.float(), mask=mask if self.num_tokens is None else None)


def _merged(values: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Join every `size` real features, one after the other: `[M, F / size, size * D]`, and mask."""
    order = (~mask).int().argsort(dim=1, stable=True)  # the real ones first
    values = values.gather(1, order[..., None].expand_as(values))
    values = F.pad(values, (0, 0, 0, -values.shape[1] % size))
    joined = values.reshape(len(values), -1, size * values.shape[2])
    num_groups = (mask.sum(dim=1) + size - 1) // size
    return joined, torch.arange(joined.shape[1], device=mask.device) < num_groups[:, None]


def _with_newlines(made: SoftTokens, newline: Tensor, layouts: Sequence[Layout]) -> SoftTokens:
    """Put a newline behind each row of each item."""
    num_items, _, width = made.values.shape
    end = newline.expand(num_items, 1, width)
    choices = torch.cat([made.values, end], dim=1)  # [M, F + 1, D_llm]
    assert made.mask is not None, "one soft token for each feature"
    order = (~made.mask).int().argsort(dim=1, stable=True)
    order = F.pad(order, (0, 1), value=choices.shape[1] - 1)
    places = [torch.tensor(_places(layout, order.shape[1] - 1)) for layout in layouts]
    padded = nn.utils.rnn.pad_sequence(places, batch_first=True, padding_value=-1).to(order.device)
    index = order.gather(1, padded.clamp(min=0))
    values = choices.gather(1, index[..., None].expand(-1, -1, width))
    return SoftTokens(values=values, mask=padded >= 0)


def _places(layout: Layout, newline: int) -> list[int]:
    """The features of an item by number, with the number of the newline behind each row."""
    places: list[int] = []
    numbers = iter(range(layout.count))
    for _ in range(layout.views):
        places += islice(numbers, layout.before)
        for _ in range(layout.rows):
            places += [*islice(numbers, layout.columns), newline]
    return places


def _check_sizes(*, depth: int, merge: int, hidden: int, halves: bool) -> None:
    """Refuse sizes that no projection has."""
    if depth not in (1, 2):
        raise AlignerError(f"depth is {depth}; a projection has 1 or 2 linear layers")
    if merge < 1:
        raise AlignerError(f"merge is {merge}; it must be at least 1")
    if hidden < 1:
        raise AlignerError(f"hidden_dim is {hidden}; it must be at least 1")
    if halves and (depth == 1 or hidden % 2):
        raise AlignerError("activation: swiglu needs depth: 2 and an even hidden_dim")
