"""Shikra (A7 of the methods): boxes as plain numbers, in questions and in answers.

Works when: writing and reading 1000 random boxes gives them back within 5e-4, several boxes keep
their order, and the vocabulary has no new rows apart from those around a picture.
"""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from anymal.chat.coordinates import Box, find_codec
from anymal.chat.template import build_template
from anymal.chat.tokens import TextEncoder
from anymal.recipe.own_prompt import OwnPrompt
from anymal.recipe.schema import Recipe, load_recipe

RECIPE = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "shikra.yaml"
WIDTH, HEIGHT = 640, 480


@pytest.fixture(scope="module", name="recipe")
def _recipe() -> Recipe:
    return load_recipe(RECIPE, keep_unset=True)


@pytest.fixture(name="where")
def _where(recipe: Recipe) -> OwnPrompt:
    """The prompt that asks for a box."""
    [entry] = recipe.stages[0].heldout or []
    assert isinstance(entry.prompt, OwnPrompt)
    return entry.prompt


def asked(where: OwnPrompt, *boxes: Box) -> dict[str, Any]:
    row = {"image": "a.jpg", "text": "it", "width": WIDTH, "height": HEIGHT}
    held = [list(box) for box in boxes]
    return where.style().conversation({**row, "box": held[0] if len(held) == 1 else held})


def test_boxes_come_back_from_the_square_that_the_picture_is_padded_to(where: OwnPrompt) -> None:
    codec, random_ = find_codec(str(where.coordinates)), random.Random(0)
    for _ in range(1000):
        left, right = sorted(random_.uniform(0, WIDTH) for _ in range(2))
        top, bottom = sorted(random_.uniform(0, HEIGHT) for _ in range(2))
        answer = asked(where, Box(left, top, right, bottom))["messages"][-1]["content"]
        [found] = codec.decode(answer, 1, 1)
        # A square of 640: 80 rows of it are above the picture.
        expected = (left / 640, (top + 80) / 640, right / 640, (bottom + 80) / 640)
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 5e-4 + 1e-9


def test_several_boxes_keep_their_order(where: OwnPrompt) -> None:
    boxes = [Box(320, 240, 640, 480), Box(0, 0, 64, 64)]
    answer = asked(where, *boxes)["messages"][-1]["content"]
    assert answer == "[0.500,0.500,1.000,0.875;0.000,0.125,0.100,0.225]"
    found = find_codec("shikra").decode(answer, 640, 640)
    assert [box.left for box in found] == [320, 0]


def test_boxes_need_no_new_words(
    recipe: Recipe, where: OwnPrompt, checkpoints: SimpleNamespace
) -> None:
    """Numbers take words that every vocabulary has; only a picture gets two new ones."""
    image = recipe.model.modalities["image"]
    assert recipe.model.extra_tokens == [image.prefix, image.suffix.rstrip()]
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    before = len(tokenizer)
    template = build_template(recipe.model.llm.template, tokenizer)
    answer = asked(where, Box(1, 2, 300, 400))["messages"][-1]["content"]
    ids = TextEncoder(tokenizer).encode(answer)
    assert tokenizer.decode(ids).replace(" ", "") == answer
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert (len(tokenizer), template.end_of_turn) == (before, "</s>")


def test_what_is_asked_is_what_was_learnt(where: OwnPrompt) -> None:
    """A held-out row is scored by the overlap with its box, in the padded square."""
    meta = asked(where, Box(64, 48, 320, 240))["meta"]
    assert meta["box"] == {
        "edges": [64, 128, 320, 320],
        "size": [640, 640],
        "coordinates": "shikra",
    }
