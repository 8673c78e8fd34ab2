"""Our own rows, and what all formats share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from anymal.data.registry import FORMATS, open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataFormat, DataRecipe

Opened = Callable[..., Rows]
Read = Callable[..., list[tuple[str, Any]]]
Chat = Callable[..., list[dict[str, Any]]]


def test_every_format_of_a_recipe_can_be_opened() -> None:
    assert set(FORMATS) == set(get_args(DataFormat))


def test_our_own_rows_are_as_they_are(opened: Opened, chat: Chat) -> None:
    messages = chat("Hi.", "Hello.", loss=False)
    rows = opened([{"messages": messages, "images": ["a"], "id": 3, "meta": {"answer": "x"}}])
    assert rows[0] == {"messages": messages, "images": ["a"], "id": 3, "meta": {"answer": "x"}}


def test_a_prompt_takes_the_columns_of_a_table(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "captions.csv"
    path.write_text('file,words\na.png,"A dog, barking."\n')
    columns = {"image": "file", "text": "words"}
    rows = open_rows(
        DataRecipe(manifest=str(path), prompt="describe_image", columns=columns, suffix="short")
    )
    assert read(rows)[0][1][1] == ("image_url", "a.png")
    assert read(rows)[1:] == [
        (
            "user",
            "Describe the image.\nAnswer the question using a single word or phrase.",
        ),
        ("assistant", "A dog, barking."),
    ]
    with pytest.raises(DataError, match="whole conversations already; leave prompt out"):
        open_rows(DataRecipe(manifest=str(path), format="llava", prompt="describe_image"))
