"""The errors for a file whose decoding process ended; does not find out why it did."""

from anymal.decoding.job import Bounds
from anymal.decoding.process import Died
from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge


def too_much_memory(name: str, bounds: Bounds) -> MediaError:
    """It outgrew its bounds."""
    return MediaTooLarge(
        name,
        "a file that takes too much memory to decode",
        f"up to {bounds.memory_bytes / 2**20:,.0f} MiB; send a smaller or shorter one",
    )


def too_slow(name: str, bounds: Bounds) -> MediaError:
    """It took more processor time than it may."""
    return MediaTooLarge(
        name,
        "a file that takes too long to decode",
        f"up to {bounds.cpu_seconds} s of processor time; send a smaller or shorter one",
    )


def crashed(name: str, death: Died) -> MediaError:
    """It ended in a way of its own."""
    return MediaCorrupt(
        name,
        f"a file that ended the process that was decoding it ({death})",
        "a file that can be decoded; save it again with another program, or try again",
    )
