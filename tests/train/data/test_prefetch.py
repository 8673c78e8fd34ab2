import threading
from collections.abc import Iterator

import pytest

from train.data.prefetch import Prefetch


def test_items_come_in_order_and_end() -> None:
    with Prefetch(iter(range(100)), ahead=3) as feed:
        assert list(feed) == list(range(100))
        assert list(feed) == []


def test_the_producer_runs_at_most_so_far_ahead() -> None:
    made: list[int] = []
    ahead = threading.Event()

    def produce() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            if number == 3:
                ahead.set()
            yield number

    with Prefetch(produce(), ahead=3) as feed:
        assert ahead.wait(10)
        assert len(made) <= 4  # three wait in the queue, one in the producer's hand
        assert next(feed) == 0


def test_an_error_arrives_where_the_item_would_have() -> None:
    def produce() -> Iterator[int]:
        yield 1
        raise ValueError("row 2")

    with Prefetch(produce(), ahead=4) as feed:
        assert next(feed) == 1
        for _ in range(2):
            with pytest.raises(ValueError, match="row 2"):
                next(feed)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with Prefetch(iter(range(10**9)), ahead=2) as feed:
        assert next(feed) == 0
    assert threading.active_count() == before
