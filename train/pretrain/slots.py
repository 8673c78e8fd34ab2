"""Small heads that predict facts from an encoder's features, one fact each.

Each slot looks at the features with a query of its own, as a perceiver does later, so that the
encoder has to put what is where into its features. They are thrown away after training.

Shapes: W windows, P features per window, S slots, D_enc width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.pretrain.examples import Slots

_UNKNOWN = -100


class SlotHeads(nn.Module):
    """One attention query and one linear classifier for each slot."""

    def __init__(self, width: int, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(num_classes)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, len(self.names))
        self.classifiers = nn.ModuleList(nn.Linear(width, n) for n in num_classes.values())

    def forward(self, features: Tensor, mask: Tensor | None) -> list[Tensor]:
        """`[W, P, D_enc]` features and `[W, P]` mask to logits `[W, classes]` for each slot."""
        features = self.norm(features)
        scores = self.query(features)  # [W, P, S]
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], float("-inf"))
        pooled = scores.softmax(dim=1).transpose(1, 2) @ features  # [W, S, D_enc]
        return [head(pooled[:, i]) for i, head in enumerate(self.classifiers)]

    def targets(self, examples: Sequence[Slots]) -> Tensor:
        """Classes as `[W, S]` int64; -100 where a slot is unknown."""
        rows = [[slots.get(name, _UNKNOWN) for name in self.names] for slots in examples]
        return torch.tensor(rows)


def slot_loss(logits: list[Tensor], targets: Tensor, *, smoothing: float = 0.05) -> Tensor:
    """Cross-entropy summed over the known slots, per window."""
    losses = [
        F.cross_entropy(
            one, targets[:, i], ignore_index=_UNKNOWN, label_smoothing=smoothing, reduction="sum"
        )
        for i, one in enumerate(logits)
    ]
    return torch.stack(losses).sum() / len(targets)


def slot_hits(logits: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    """How often each slot was right, and known: two `[S]` int64 counts."""
    guesses = torch.stack([one.argmax(dim=1) for one in logits], dim=1)
    known = targets != _UNKNOWN
    return ((guesses == targets) & known).sum(0), known.sum(0)
