import pytest

from anymal.objectives.changed import changed_tokens, weights_of


def marks(first: str, second: str) -> tuple[str, str]:
    """Letters as tokens; what is changed is marked."""
    found = changed_tokens([ord(each) for each in first], [ord(each) for each in second])
    return tuple(  # type: ignore[return-value]
        "".join("^" if flag else "." for flag in flags) for flags in (found.first, found.second)
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("abcXdef", "abcYdef", ("...^...", "...^...")),
        ("abcdef", "abcdef", ("......", "......")),
        # What only one has is no change.
        ("abcdef", "abcXYdef", ("......", "........")),
        # Two tokens alike between two changes belong to them; three do not.
        ("abcXdeXfgh", "abcYdeYfgh", ("...^^^^...", "...^^^^...")),
        ("abcXdefXghi", "abcYdefYghi", ("...^...^...", "...^...^...")),
        ("Xabc", "YZabc", ("^...", "^^...")),
        ("abcX", "abcYZ", ("...^", "...^^")),
        ("ab", "cd", ("^^", "^^")),
        ("", "cd", ("", "..")),
    ],
)
def test_changed_tokens(first: str, second: str, expected: tuple[str, str]) -> None:
    assert marks(first, second) == expected
    assert marks(second, first) == expected[::-1]


def test_weights() -> None:
    flags = (False, False, True)
    assert weights_of(flags, changed=5, normalise=False) == [1, 1, 5]
    assert weights_of(flags, changed=5, normalise=True) == pytest.approx([1 / 7, 1 / 7, 5 / 7])
