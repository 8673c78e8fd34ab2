"""A function of every row's number, called by threads, its results in order.

Does not know what the function does.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Place = TypeVar("Place")
Result = TypeVar("Result")

_AT_ONCE = 256  # submitted to the threads; more only takes memory


def in_order(
    places: Iterable[Place], work: Callable[[Place], Result], *, name: str
) -> Iterator[Result]:
    """Yield the result of each place, in order, as threads work through them.

    Args:
        places: What the function is called with.
        work: The function; an error of it ends the work.
        name: Begins the names of the threads, one for each core.

    Yields:
        The results.
    """
    rest = iter(places)
    pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=name)
    try:
        while chosen := list(islice(rest, _AT_ONCE)):
            yield from pool.map(work, chosen)
    finally:
        pool.shutdown(cancel_futures=True)
