"""Finds the place of a text key among millions, without keeping the keys.

Keeps 16 bytes for each key, its hash and its place. Different keys may have one hash, so the caller
has to compare the keys at the places that are found.
"""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np


class KeyIndex:
    """Places of keys, which count from 0 in the order that the keys came.

    Args:
        keys: All keys, read once.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        hashes = np.array(array("q", map(hash, keys)), dtype=np.int64)
        self._places = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._places]

    def find(self, key: str) -> Iterator[int]:
        """The places where a key may be: those of all keys with its hash."""
        at = int(np.searchsorted(self._hashes, hash(key)))
        while at < len(self._hashes) and self._hashes[at] == hash(key):
            yield int(self._places[at])
            at += 1
