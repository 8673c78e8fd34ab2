"""What is read out of hidden states as numbers rather than as words: one number of each row.

Does not choose the rows (an objective does, or the engine) and does not run the layers.

Shapes: N rows, D layer width.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn


class ReadOut(nn.Module):
    """One number of a hidden state: a linear layer in float32, whatever the language model is.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        # Begins at numbers of about 1, since the last norm leaves each value at about 1.
        nn.init.normal_(self.linear.weight, std=width**-0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Read rows, `[N, D]` to `[N]` float32."""
        with torch.autocast(hidden.device.type, enabled=False):
            read: Tensor = self.linear(hidden.float())[:, 0]
        return read


def build_readouts(names: Collection[str], width: int) -> nn.ModuleDict:
    """New read-outs by name, which draw their weights from the global random state.

    Args:
        names: What each is called.
        width: D of the language model's last layer.
    """
    return nn.ModuleDict({name: ReadOut(width) for name in names})
