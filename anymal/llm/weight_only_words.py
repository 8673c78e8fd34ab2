"""The output head and the table of words of a model whose weights are held in 8 or 4 bits.

Both hold words in 8 bits; where they are tied, they are one set of tensors. Does not hold other
layers; see `weight_only.py`.

Shapes: V words, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anymal.llm.weight_only import WeightOnlyLinear

_EXACT = 16  # outputs of a head that are computed in float32


class WeightOnlyHead(WeightOnlyLinear):
    """An output head: the highest outputs of each row are computed again, in float32.

    Between 16 and 32, where the logits of likely words often lie, bfloat16 has steps of 1/8, and
    words that float32 tells apart would tie.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """See `WeightOnlyLinear`."""
        outputs = super().forward(inputs)
        likely = outputs.topk(min(_EXACT, self.out_features), sorted=False).indices  # [..., E]
        rows = F.embedding(likely, self.codes)[..., : self.in_features].float()
        # Not as a matrix product, whose order of sums differs between one row and several.
        exact = rows.mul_(inputs.float()[..., None, :]).sum(-1)
        exact *= self.scales[likely].float()
        if self.bias is not None:
            exact += self.bias[likely]
        return outputs.scatter_(-1, likely, exact)


class WeightOnlyEmbedding(nn.Module):
    """A table of words in 8 bits, for inference.

    Args:
        rows: V outputs of D inputs at `int8`; its buffers are used and not copied, so that a tied
            output head and its table are in memory once.
        factor: `[]` float32: what rows are multiplied by as they are looked up.
    """

    codes: Tensor
    scales: Tensor
    factor: Tensor
    dtype = torch.float32  # of the rows that it gives

    def __init__(self, rows: WeightOnlyLinear, *, factor: Tensor) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = rows.out_features, rows.in_features
        self.register_buffer("codes", rows.codes)
        self.register_buffer("scales", rows.scales)
        self.register_buffer("factor", factor)

    def forward(self, ids: Tensor) -> Tensor:
        """Look words up.

        Args:
            ids: `[...]` int64.

        Returns:
            `[..., D]` float32.
        """
        rows = F.embedding(ids, self.codes)[..., : self.embedding_dim].float()
        return rows.mul_(self.scales[ids].float()[..., None]).mul_(self.factor)

    def extra_repr(self) -> str:
        """See torch."""
        return f"{self.num_embeddings}, {self.embedding_dim}, int8"
