"""Opens rows in a format, and shows records in short."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.protocol.record import read_record
from anymal.recipe.data_entry import DataRecipe


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Rows]:
    """Opens rows of a JSON array in a format."""

    def open_(rows: list[Any], **entry: Any) -> Rows:
        path = tmp_path / "data.json"
        path.write_text(json.dumps(rows))
        return open_rows(DataRecipe(manifest=str(path), **entry))

    return open_


@pytest.fixture
def read() -> Callable[..., list[tuple[str, Any]]]:
    """Gives roles and contents of a record, whose messages are valid; media by kind and place."""

    def read_(rows: Rows, index: int = 0) -> list[tuple[str, Any]]:
        record = rows[index]
        read_record(record)
        return [(one["role"], _brief(one["content"])) for one in record["messages"]]

    return read_


def _brief(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [
        part["text"] if part["type"] == "text" else (part["type"], part[part["type"]]["url"])
        for part in content
    ]


@pytest.fixture
def chat() -> Callable[..., list[dict[str, Any]]]:
    """Makes messages of words in turn; marks go on the first answer."""

    def chat_(*words: str, **marks: Any) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(words)
        ]
        messages[1] |= marks
        return messages

    return chat_
