"""Produces items ahead of the consumer: one background thread, a bounded queue, the same order.

Knows nothing of records or batches.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Failure:
    """Carries an exception of the producer to the consumer."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class _End:
    """Says that the producer is exhausted."""


class Prefetch(Generic[Item]):
    """An iterator whose items are produced by a background thread, at most `ahead` of them early.

    An exception of the producer is raised by the `next` whose item it would have been. Use it as a
    context manager, which stops and joins the thread at its end.
    """

    def __init__(self, items: Iterator[Item], *, ahead: int) -> None:
        self._queue: queue.Queue[Item | _Failure | _End] = queue.Queue(maxsize=ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._fill, args=(items,), name="prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        item = self._queue.get()
        if isinstance(item, _Failure | _End):
            self._queue.put(item)  # another `next` gets the same answer
            if isinstance(item, _Failure):
                raise item.error
            raise StopIteration
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        while self._thread.is_alive():  # it may be waiting for room in the queue
            while not self._queue.empty():
                self._queue.get_nowait()
            self._thread.join(timeout=0.01)

    def _fill(self, items: Iterator[Item]) -> None:
        """Produce until exhausted, broken or stopped."""
        try:
            for item in items:
                if self._stopped.is_set():
                    return
                self._queue.put(item)
            self._queue.put(_End())
        except BaseException as error:  # not swallowed: the consumer raises it
            self._queue.put(_Failure(error))
