"""Suffix rules: once, at the end of what the user says last."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from anymal.errors import RecipeError
from anymal.protocol.conversation import read_conversation
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.section import parse_section
from anymal.recipe.suffixes import SUFFIXES, with_suffix

IMAGE = {"type": "image_url", "image_url": {"url": "a.jpg"}}


def record(*contents: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return {"id": "1", "messages": messages}


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("What is it? ", lambda end: f"What is it?\n{end}"),
        (" ", lambda end: end),
        ([IMAGE, words("What?")], lambda end: [IMAGE, words(f"What?\n{end}")]),
        ([words("What?"), IMAGE], lambda end: [words(f"What?\n{end}"), IMAGE]),
        ([IMAGE], lambda end: [IMAGE, words(end)]),
    ],
)
@pytest.mark.parametrize("name", SUFFIXES)
def test_a_suffix_ends_the_users_words_and_is_not_added_twice(
    name: str, asked: Any, expected: Callable[[str], Any]
) -> None:
    given = record(asked, "A dog")
    kept = copy.deepcopy(given)
    once = with_suffix(given, SUFFIXES[name])
    assert once == record(expected(SUFFIXES[name]), "A dog")
    assert with_suffix(once, SUFFIXES[name]) == once
    assert given == kept
    read_conversation(once)


def test_only_the_last_question_gets_it() -> None:
    found = with_suffix(record("One?", "1", "Two?", "2"), "Briefly.")
    assert [m["content"] for m in found["messages"]] == ["One?", "1", "Two?\nBriefly.", "2"]


@pytest.mark.parametrize(
    "other",
    [{}, {"messages": 1}, {"messages": [3]}, {"messages": [{"role": "user", "content": 3}]}],
)
def test_what_is_no_conversation_is_left_to_the_check_of_records(other: dict[str, Any]) -> None:
    assert with_suffix(other, "Briefly.") == other


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"manifest": "a.jsonl", "suffix": "shrt"}, "unknown suffix 'shrt'; known: short, choice"),
        ({"source": "a:b", "suffix": "short"}, "suffix belong to a manifest"),
    ],
)
def test_a_recipe_names_a_known_suffix_of_a_manifest(data: dict[str, str], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        parse_section(DataRecipe, data, where="recipe")
