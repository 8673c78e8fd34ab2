"""Counted values in bins."""

from collections import Counter

from anymal.data.checks.histogram import Bin, bars, bins_of


def test_few_values_have_a_bin_each() -> None:
    assert bins_of(Counter({2.0: 5, 1.0: 3})) == [
        Bin(low=1.0, high=1.0, count=3),
        Bin(low=2.0, high=2.0, count=5),
    ]


def test_many_values_share_ten_bins_and_empty_ones_are_left_out() -> None:
    counted: Counter[float] = Counter({float(value): 1 for value in (*range(100), 1000)})
    bins = bins_of(counted)
    assert bins == [Bin(low=0, high=99, count=100), Bin(low=1000, high=1000, count=1)]
    assert sum(each.count for each in bins) == counted.total()


def test_bars_are_as_long_as_their_counts() -> None:
    lines = list(bars([Bin(low=1, high=1, count=1), Bin(low=10, high=20, count=40)]))
    assert lines == ["       1 # 1", f"10 to 20 {'#' * 40} 40"]


def test_nothing_counted_is_nothing_drawn() -> None:
    assert list(bars(bins_of(Counter()))) == []
