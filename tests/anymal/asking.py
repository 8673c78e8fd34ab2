"""What a model would say next, for tests that compare models."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.engine.sampling import Sampling
from anymal.evaluation.answers import answer_all, start_batch_assistant
from anymal.sample import Sample


@torch.no_grad()
def next_logits(assembled: Assembled, sample: Sample) -> torch.Tensor:
    """`[V]` scores of the token after a sample, without a cache."""
    model = assembled.model
    batch = collate([sample], pad_id=0)
    soft_tokens = model.align(model.encode(batch.media))
    side = model.beside(batch, soft_tokens)
    hidden = model.decode(model.fuse(batch, soft_tokens), batch, side)
    return model.llm.head(hidden[0, -1:])[0]


def answers(
    assembled: Assembled,
    records: Sequence[Mapping[str, Any]],
    *,
    batch_size: int = 8,
    **sampling: Any,
) -> list[str]:
    """Through the engine, `batch_size` at a time."""
    with start_batch_assistant(assembled, name="model", batch_size=batch_size) as assistant:
        replies = answer_all(
            assistant,
            records,
            base_dir=None,
            batch_size=batch_size,
            sampling=Sampling(**sampling),
        )
        return [reply.text for reply in replies]
