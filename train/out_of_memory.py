"""Fewer samples at a time once memory runs out, so that a plan that was too bold costs no run.

How a step is cut does not change its gradient: see `train.loop`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from anymal.collate import Batch
from train.data.piece import Piece
from train.errors import TrainingError

Result = TypeVar("Result")


class Halving:
    """Passes pieces on to a function, and cuts them in halves where it runs out of memory.

    Args:
        size: Most samples of one pass, to begin with.
        key: Names `micro_batch` of the stage in messages.
        say: Tells the user.
    """

    def __init__(self, size: int, *, key: str, say: Callable[[str], None]) -> None:
        self.size = size
        self._key = key
        self._say = say

    def map(self, run: Callable[[Batch], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
        """Run every sample once.

        Args:
            run: Leaves nothing behind when it raises.
            pieces: Of any size.

        Yields:
            What `run` gave.

        Raises:
            TrainingError: Not even one sample fits.
        """
        for piece in pieces:
            waiting = [piece]
            while waiting:
                own = waiting.pop()
                if len(own.samples) > self.size:
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
                # Only here, where the error no longer holds on to what was computed.
                self._halve(own)
                waiting.append(own)

    def _check(self, piece: Piece, error: RuntimeError) -> None:
        """Refuse to halve one sample."""
        if len(piece.samples) == 1:
            name, positions = piece.batch.names[0], piece.batch.num_positions
            raise TrainingError(
                f"memory runs out on {name} alone ({positions} positions): {error}; set "
                "checkpointing: true, lower llm.max_tokens, or take a lower llm.precision"
            ) from error

    def _halve(self, piece: Piece) -> None:
        """Take half as many from now on."""
        number = len(piece.samples)
        self.size = -(-number // 2)
        torch.cuda.empty_cache()
        self._say(
            f"memory ran out on {number} samples; {self._key} is {self.size} for the rest of the "
            "stage (the steps stay the same)"
        )


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; cuBLAS asks for its own beside torch's, and says so in words."""
    return isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)
