"""Strings where a list belongs: `images: "a.png"`, which other tools read letter by letter.

Looks at a row as its file has it; does not read media.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from anymal.data.checks.mistake import Mistake
from anymal.modality import MODALITIES

_LISTS = ("messages", "conversations", *(f"{modality}s" for modality in MODALITIES))


def list_mistakes(row: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find columns that hold a string and should hold a list.

    Args:
        row: As its file has it.

    Yields:
        A mistake for each.
    """
    for name in _LISTS:
        if isinstance(value := row.get(name), str) and value:
            yield Mistake(
                kind="not_a_list",
                reason=f"{name} is a string, {value!r:.80}",
                change=f"write a list, {name}: [...]",
            )
