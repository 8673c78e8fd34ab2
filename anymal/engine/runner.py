"""What the engine needs of a model.

Does not compute; `packed` and `unpacked` do. Torch-free.
"""

from collections.abc import Sequence
from typing import Protocol

from anymal.engine.prompt import Prompt
from anymal.engine.reply import Result, Vocabulary
from anymal.engine.request import Work


class Runner(Protocol):
    """What the engine needs of a model. Only the engine's thread calls it, except `check`.

    Attributes:
        vocabulary: Ids to text.
        context: Most positions of a sequence.
        num_blocks: Blocks of `BLOCK_SIZE` positions that there is room for.
        block_bytes: Size of one.
        root: What keys and values depend on besides the positions; None if blocks are not kept.
        reads_ahead: Whether positions depend on media beside them that stand after them too.
    """

    vocabulary: Vocabulary
    context: int
    num_blocks: int
    block_bytes: int
    root: bytes | None
    reads_ahead: bool

    def check(self, prompt: Prompt) -> None:
        """Refuse a prompt that `step` could not compute.

        Raises:
            AnymalError: The message says why.
        """
        ...

    def step(self, works: Sequence[Work]) -> Sequence[Result | Exception | None]:
        """Compute stretches; behind each complete one, draw a token or grade the given answer.

        Returns:
            For each stretch its token or grade, what went wrong with it alone, or None.
        """
        ...

    def scrub(self, blocks: Sequence[int]) -> None:
        """Overwrite what a failed request left in its blocks."""
        ...
