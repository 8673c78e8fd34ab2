"""What was made of media, kept under digests as long as its bytes allow.

Does not make anything, and holds no lock.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """The most recently used things, up to a number of bytes.

    Args:
        most_bytes: Of all of them together; 0 keeps none.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes_used = 0
        self._things: OrderedDict[str, tuple[Made, int]] = OrderedDict()

    def get(self, digest: str) -> Made | None:
        """What was kept under a digest, if it still is; it counts as used."""
        if digest not in self._things:
            return None
        self._things.move_to_end(digest)
        return self._things[digest][0]

    def keep(self, digest: str, made: Made, *, num_bytes: int) -> None:
        """Keep a thing, and the least recently used ones no longer.

        Args:
            digest: Under which it will be found.
            made: Kept as it is; too large a thing is not kept.
            num_bytes: How large it is.
        """
        if num_bytes > self.most_bytes:
            return
        self._drop(digest)
        self._things[digest] = (made, num_bytes)
        self.bytes_used += num_bytes
        while self.bytes_used > self.most_bytes:
            self._drop(next(iter(self._things)))

    def _drop(self, digest: str) -> None:
        _, num_bytes = self._things.pop(digest, (None, 0))
        self.bytes_used -= num_bytes
