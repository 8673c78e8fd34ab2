"""A number and what it counts, as people write it: `1 row`, `2,000 rows`.

Does not know irregular plurals; they are given.
"""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write how many there are.

    Args:
        number: How many.
        one: What one of them is called.
        many: What several are called; None is `one` with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
