"""Smaller micro-batches once memory runs out, so that a plan that was too optimistic ends no run.

How a batch is cut into micro-batches does not change its gradient: see `train.loop`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from anymal.collate import Batch
from train.data.layout import MicroBatch
from train.errors import TrainingError

Result = TypeVar("Result")


class Halving:
    """Calls a function on micro-batches, and halves them when it runs out of memory.

    Args:
        size: Most samples of one pass at first, or pairs of samples that are compared.
        key: The recipe key of the stage's `micro_batch`, for messages.
        say: Called with a message for the user.
        can_halve: False where other ranks run as many passes as this one.
    """

    def __init__(
        self, size: int, *, key: str, say: Callable[[str], None], can_halve: bool = True
    ) -> None:
        self.size = size
        self._can_halve = can_halve
        self._key = key
        self._say = say

    def map(
        self, run: Callable[[Batch], Result], micro_batches: Iterable[MicroBatch]
    ) -> Iterator[Result]:
        """Run every sample once.

        Args:
            run: Called with each batch; must change nothing when it raises.
            micro_batches: Of any size; larger ones than `size` are cut.

        Yields:
            What `run` returned.

        Raises:
            TrainingError: Not even one sample fits, or no smaller micro-batch may be tried.
        """
        for micro_batch in micro_batches:
            waiting = [micro_batch]
            while waiting:
                own = waiting.pop()
                if own.num_records > self.size:
                    waiting += reversed(list(own.cut(self.size)))
                    continue
                try:
                    result = run(own.batch)
                except RuntimeError as error:
                    if not _is_out_of_memory(error):
                        raise
                    self._check(own, error)
                else:
                    yield result
                    continue
                # Not in the except block, where the error keeps what was computed alive.
                self._halve(own)
                waiting.append(own)

    def _check(self, micro_batch: MicroBatch, error: RuntimeError) -> None:
        """Raise if there is only one sample, or where the number of passes is fixed."""
        if micro_batch.num_records == 1:
            name, positions = micro_batch.batch.names[0], micro_batch.batch.num_positions
            raise TrainingError(
                f"memory runs out on {name} alone ({positions} positions): {error}; set "
                "checkpointing: true, lower llm.max_tokens, or take a lower llm.precision"
            ) from error
        if not self._can_halve:
            raise TrainingError(
                f"memory runs out on {micro_batch.num_records} samples: {error}; with shard: true "
                f"all ranks run as many passes, so lower {self._key} (it is {self.size})"
            ) from error

    def _halve(self, micro_batch: MicroBatch) -> None:
        """Use half the size from now on."""
        number = micro_batch.num_records
        self.size = -(-number // 2)
        torch.cuda.empty_cache()
        self._say(
            f"memory ran out on {number} samples; {self._key} is {self.size} for the rest of the "
            "stage (the steps stay the same)"
        )


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; cuBLAS allocates its own, and reports it in the message only."""
    return isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)
