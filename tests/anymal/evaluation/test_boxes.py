"""The box of an answer is right where it overlaps the expected one by half."""

from typing import Any

import pytest

from anymal.errors import DataError
from anymal.evaluation.scoring import is_right, read_expected
from anymal.recipe.own_prompt import OwnPrompt

ROW = {"image": "a.jpg", "text": "the cat", "width": 640, "height": 480, "box": [0, 0, 320, 240]}


def expected(coordinates: str = "shikra") -> Any:
    """As the reader of a data set makes it."""
    style = OwnPrompt(templates=["{text}"], answer="{box}", coordinates=coordinates).style()
    return read_expected({"id": "r7", **style.conversation(ROW)}, default_task="refcoco")


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("[0.000,0.000,0.500,0.500]", True),
        ("It is at [0.0,0.0,0.5,0.5].", True),
        ("[0.000,0.000,0.500,0.250]", True),  # exactly one half
        ("[0.000,0.000,0.500,0.249]", False),
        ("[0.000,0.000,1.000,1.000]", False),  # one quarter
        ("[0.6,0.6,0.7,0.7;0.0,0.0,0.5,0.5]", False),  # the first one counts
        ("the cat", False),
        ("", False),
    ],
)
def test_the_first_box_overlaps_by_half(text: str, is_met: bool) -> None:
    assert is_right(text, expected()) is is_met


@pytest.mark.parametrize(
    ("coordinates", "text"),
    [
        ("minigpt_v2", "{<0><0><50><50>}"),
        ("kosmos2", "<object><patch_index_0000><patch_index_0495></object>"),
        ("fuyu", "<box>0, 0, 240, 320</box>"),
    ],
)
def test_each_system_is_read_as_it_writes(coordinates: str, text: str) -> None:
    assert is_right(text, expected(coordinates))
    assert not is_right("[0.000,0.000,0.500,0.500]", expected(coordinates))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (None, "it should be"),
        ({"edges": [1, 2, 3], "size": [4, 4], "coordinates": "shikra"}, "it should be"),
        ({"edges": [1, 2, 3, 4], "size": [4, 4]}, "it should be"),
        ({"edges": [1, 2, 3, 4], "size": [4, 4], "coordinates": "yolo"}, "unknown coordinates"),
    ],
)
def test_a_box_that_nothing_can_be_compared_with_is_refused(box: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_expected({"id": "r7", "meta": {"answer": "1", "score": "box", "box": box}})
