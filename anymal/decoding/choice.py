"""Where media are decoded: in this process, or in some of their own while a block lasts.

Does not decode.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from anymal.decoding.medium import Decode, decode_medium
from anymal.decoding.pool import DecoderPool


@contextmanager
def decoder(workers: int) -> Iterator[Decode]:
    """Give a way to decode, which any number of threads may use until the block ends.

    Args:
        workers: Processes that decode; with 0, the thread that asks does.

    Yields:
        The decoder.
    """
    if not workers:
        yield decode_medium
        return
    with closing(DecoderPool(workers)) as pool:
        pool.start()
        yield pool.decode
