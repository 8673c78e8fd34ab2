"""How the C library keeps memory that was freed.

Does not measure or free any. By default, glibc raises the size from which a block is mapped by
itself to that of the largest block freed so far, up to 32 MiB. The bodies and pixels of a busy hour
then lie between small blocks that are still in use, and cannot go back to the system.
"""

import ctypes
import sys

_MAPPED_BYTES = 2**20  # most bodies and pictures are larger
_M_MMAP_THRESHOLD = -3  # malloc.h


def map_large_blocks() -> bool:
    """Have each large block mapped by itself, so that it goes back to the system once it is freed.

    Returns:
        Whether the C library can be told so: glibc can.
    """
    if sys.platform != "linux":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and bool(set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES))
