"""Turns: everyone begins equally often, and disturbed turns are counted."""

from benchmarks.turns import rotated, unsteady


def test_each_begins_in_its_turn() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, number) for number in range(6)]
    assert [order[0] for order in orders] == ["a", "b", "c"] * 2
    assert all(sorted(order) == names for order in orders)


def test_a_turn_is_unsteady_beside_the_fastest_probe() -> None:
    assert unsteady([4.0, 5.0, 5.01, 8.0]) == "2 of 4"
