"""Blocks of the key-value cache: which requests hold them, and which free ones can be reused.

Does not hold keys or values; a block here is a number. Torch-free.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from anymal.engine.prompt import EmbeddingSpan, Prompt, SideSpan, TokenSpan

BLOCK_SIZE = 16
PADDING_BLOCK = 0  # never given out: fills up tables of blocks, and holds zeros


class Fingerprints:
    """One digest for each whole block of a growing sequence, each over all positions up to it.

    Equal digests mean equal words, equal soft tokens and equal media beside them at equal
    positions, under the same root and within the same scope (see `Owner`).
    """

    def __init__(self, prompt: Prompt, *, root: bytes, reads_ahead: bool = False) -> None:
        """Starts with the prompt's whole blocks.

        Args:
            prompt: Where the sequence starts.
            root: What keys and values depend on besides: the model and its adapters.
            reads_ahead: Whether positions depend on media beside them that stand after them too, so
                that no block is shared with another picture.
        """
        self.digests: list[bytes] = []
        self._last = hashlib.sha256(root + prompt.owner.scope.encode()).digest()
        self._begun: list[bytes] = []  # positions of the block that is not whole yet
        self._beside = b""  # media that stand before the next position
        if reads_ahead:
            for beside in prompt.beside:
                self._last = hashlib.sha256(self._last + _head(beside)).digest()
        for span in prompt.spans:
            if isinstance(span, TokenSpan):
                self.extend(span.ids)
            elif isinstance(span, EmbeddingSpan):
                head = _head(span)
                self._add(head + _number(offset) for offset in range(len(span)))
            elif not reads_ahead:
                self._beside = hashlib.sha256(self._beside + _head(span)).digest()

    def extend(self, ids: Iterable[int]) -> None:
        """Add words."""
        self._add(map(_number, ids))

    def _add(self, positions: Iterable[bytes]) -> None:
        for position in positions:
            if self._beside:
                # Its length is neither a word's nor a soft token's.
                position, self._beside = hashlib.sha256(self._beside + position).digest(), b""
            self._begun.append(position)
            if len(self._begun) == BLOCK_SIZE:
                # The separator keeps words and soft tokens apart, which differ in length.
                self._last = hashlib.sha256(self._last + b"|".join(self._begun)).digest()
                self.digests.append(self._last)
                self._begun.clear()


def _head(span: EmbeddingSpan | SideSpan) -> bytes:
    return hashlib.sha256(span.digest.encode()).digest()


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)


def blocks_for(num_positions: int) -> int:
    """How many blocks hold so many positions."""
    return -(-num_positions // BLOCK_SIZE)


class Blocks:
    """Hands blocks out and takes them back; blocks with a digest stay findable until reused.

    A block is free, held by one or more sequences, or kept: held by none, and reused only when no
    block is free, the least recently used first.
    """

    def __init__(self, num_blocks: int) -> None:
        """All free, but for `PADDING_BLOCK`.

        Args:
            num_blocks: How many there are.
        """
        self._free = list(range(num_blocks - 1, PADDING_BLOCK, -1))
        self._holders = [0] * num_blocks
        self._digests: list[bytes | None] = [None] * num_blocks
        self._by_digest: dict[bytes, int] = {}
        self._kept: OrderedDict[int, None] = OrderedDict()
        self.total = num_blocks - 1

    @property
    def num_available(self) -> int:
        """Blocks that `take` could hand out."""
        return len(self._free) + len(self._kept)

    @property
    def num_filled(self) -> int:
        """Blocks that are held or kept."""
        return self.total - len(self._free)

    def find(self, digests: Sequence[bytes]) -> list[int]:
        """The longest run of blocks, from the first digest on, that is still there."""
        found: list[int] = []
        for digest in digests:
            if (block := self._by_digest.get(digest)) is None:
                break
            found.append(block)
        return found

    def num_kept(self, blocks: Sequence[int]) -> int:
        """How many of these blocks are not held, so that holding them makes them unavailable."""
        return sum(self._holders[block] == 0 for block in blocks)

    def is_held_once(self, block: int) -> bool:
        """Whether one sequence alone holds a block."""
        return self._holders[block] == 1

    def hold(self, blocks: Sequence[int]) -> None:
        """Hold blocks that `find` found."""
        for block in blocks:
            self._kept.pop(block, None)
            self._holders[block] += 1

    def take(self, number: int) -> list[int]:
        """Hold empty blocks; that many must be available."""
        assert number <= self.num_available, (number, self.num_available)
        taken = []
        for _ in range(number):
            block = self._free.pop() if self._free else self._evict()
            self._holders[block] = 1
            taken.append(block)
        return taken

    def publish(self, block: int, digest: bytes) -> None:
        """Make a whole, computed block findable; of two equal ones the first stays so."""
        if self._digests[block] is None and digest not in self._by_digest:
            self._digests[block] = digest
            self._by_digest[digest] = block

    def release(self, blocks: Sequence[int]) -> None:
        """Hold blocks of one sequence no longer; its end is reused before its beginning."""
        for block in reversed(blocks):
            self._holders[block] -= 1
            assert self._holders[block] >= 0, f"block {block} was released twice"
            if self._holders[block] == 0:
                if self._digests[block] is None:
                    self._free.append(block)
                else:
                    self._kept[block] = None

    def forget(self, blocks: Sequence[int]) -> None:
        """Make these blocks impossible to find, whether or not they are held."""
        for block in blocks:
            self._unpublish(block)
            if block in self._kept:
                del self._kept[block]
                self._free.append(block)

    def _evict(self) -> int:
        block, _ = self._kept.popitem(last=False)
        self._unpublish(block)
        return block

    def _unpublish(self, block: int) -> None:
        digest, self._digests[block] = self._digests[block], None
        if digest is not None:
            del self._by_digest[digest]
