"""Opened data sets, and what their records hold, in a short form that tests compare."""

import base64
from typing import Any

from anymal.data.registry import open_rows
from anymal.data.rows import Record, Rows
from anymal.recipe.data_entry import DataRecipe
from tests.anymal.data.examples import Entry


def opened(entry: Entry, **changes: Any) -> Rows:
    return open_rows(DataRecipe(**(entry | changes)))


def all_of(rows: Rows) -> list[Record]:
    return [rows[n] for n in range(len(rows))]


def media(record: Record) -> list[Any]:
    """URLs of the media; data URLs as bytes."""
    parts = [
        part
        for message in record["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] != "text"
    ]
    urls = [part[part["type"]]["url"] for part in parts]
    return [
        base64.b64decode(url.partition(",")[2]) if url.startswith("data:") else url for url in urls
    ]


def words(record: Record) -> list[str]:
    """The role and the words of each message."""
    return [f"{message['role']}: {_text(message['content'])}" for message in record["messages"]]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else "[]" for part in content)
