"""Values with large arrays, from one process to another through memory without a name.

Does not send anything. The memory is a file that no folder lists: it goes when the last process
that holds it closes it or dies, so nothing is left behind, and Docker's small `/dev/shm` is no
limit.
"""

import mmap
import os
import pickle
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_ALIGNMENT = 64  # bytes, as wide as any number that a processor loads at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A value without the contents of its arrays.

    Attributes:
        head: The value, pickled.
        sizes: Bytes of each array.
    """

    head: bytes
    sizes: tuple[int, ...]


def pack(value: object) -> tuple[Packed, int]:
    """Copy the arrays of a value into new memory.

    Args:
        value: Anything that pickle takes.

    Returns:
        The rest of the value, and the descriptor of the memory; the caller closes it.

    Raises:
        MemoryError: There is no room.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    contents = [buffer.raw() for buffer in buffers]
    packed = Packed(head=head, sizes=tuple(content.nbytes for content in contents))
    memory = _new_memory()
    os.truncate(memory, _total(packed.sizes))
    for start, content in zip(_starts(packed.sizes), contents, strict=True):
        while content:
            written = os.pwrite(memory, content, start)
            start, content = start + written, content[written:]
    return packed, memory


def unpack(packed: Packed, memory: int) -> Any:
    """Put a value together again; its arrays are the memory itself, and free it when they go.

    Args:
        packed: From `pack`, from a process that is trusted as this one is.
        memory: The descriptor, which the caller may close afterwards.
    """
    room = memoryview(mmap.mmap(memory, _total(packed.sizes)))
    starts = _starts(packed.sizes)
    views = [room[start : start + size] for start, size in zip(starts, packed.sizes, strict=True)]
    return pickle.loads(packed.head, buffers=views)


def _new_memory() -> int:
    """The descriptor of an empty file without a name."""
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    return os.memfd_create("anymal-decoded")


def _starts(sizes: Iterable[int]) -> Iterator[int]:
    """Where each array begins."""
    start = 0
    for size in sizes:
        yield start
        start += -(-size // _ALIGNMENT) * _ALIGNMENT


def _total(sizes: Iterable[int]) -> int:
    """Bytes of all; memory cannot be empty."""
    return max(1, sum(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes))
