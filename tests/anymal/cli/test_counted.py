"""Numbers and nouns."""

from anymal.cli.counted import counted


def test_one_is_not_several() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 12_000)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "12,000 rows",
    ]
    assert [counted(n, "match", "matches") for n in (1, 2)] == ["1 match", "2 matches"]
