"""Boxes as words: B6 of the methods, row by row, with every rounding trap, both ways."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers.models.fuyu.processing_fuyu import transform_coordinates
from transformers.models.kosmos2.processing_kosmos2 import (
    clean_text_and_extract_entities_with_bboxes,
    coordinate_to_patch_index,
    patch_index_to_coordinate,
)

from anymal.chat.coordinates import CODECS, Box, find_codec, in_square, overlap
from anymal.errors import DataError

WIDTH, HEIGHT = 640, 480
BOX = Box(64, 48, 320, 240)
# The table of B6.
TABLE = {
    "shikra": "[0.100,0.100,0.500,0.500]",
    "ferret": "[100, 100, 500, 500]",
    "minigpt_v2": "{<10><10><50><50>}",
    "qwen_vl": "<box>(100,100),(500,500)</box>",
    "llava": "[0.10, 0.10, 0.50, 0.50]",
    "kosmos2": "<object><patch_index_0099><patch_index_0495></object>",
    "fuyu": "<box>48, 64, 240, 320</box>",
}
# How far an edge may come back from where it was, as a share of a side.
QUANTA = {
    **{"shikra": 0.0005, "ferret": 0.001, "minigpt_v2": 0.01, "qwen_vl": 0.5 / 999},
    **{"llava": 0.005, "kosmos2": 1 / 32, "fuyu": 0.5 / HEIGHT},
}
OTHER = Box(100.5, 20.25, 600.75, 470.5)
NAMES = pytest.mark.parametrize("name", CODECS)


def boxes(number: int) -> Iterator[Box]:
    """Random boxes, some thin ones among them."""
    random_ = random.Random(0)
    for _ in range(number):
        left, right = sorted(random_.uniform(0, WIDTH) for _ in range(2))
        top, bottom = sorted(random_.uniform(0, HEIGHT) for _ in range(2))
        yield Box(left, top, right, bottom)


def shares(box: Box) -> list[float]:
    return [box.left / WIDTH, box.top / HEIGHT, box.right / WIDTH, box.bottom / HEIGHT]


def test_the_table_of_the_methods_is_complete() -> None:
    assert set(CODECS) == set(TABLE) == set(QUANTA)


@NAMES
def test_a_box_is_written_as_published(name: str) -> None:
    assert find_codec(name).encode([BOX], WIDTH, HEIGHT) == TABLE[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen_vl", "<ref>cat</ref><box>(100,100),(500,500)</box>"),
        ("minigpt_v2", "<p>cat</p> {<10><10><50><50>}"),
        (
            "kosmos2",
            "<phrase>cat</phrase><object><patch_index_0099><patch_index_0495></object>",
        ),
        ("ferret", "cat [100, 100, 500, 500]"),
        ("shikra", "cat [0.100,0.100,0.500,0.500]"),
    ],
)
def test_what_a_box_shows_stands_before_it(name: str, expected: str) -> None:
    assert find_codec(name).encode([BOX], WIDTH, HEIGHT, phrase="cat") == expected


@NAMES
def test_boxes_come_back_within_a_quantum(name: str) -> None:
    codec, most = find_codec(name), QUANTA[name] + 1e-9
    for box in boxes(1000):
        [found] = codec.decode(codec.encode([box], WIDTH, HEIGHT), WIDTH, HEIGHT)
        np.testing.assert_allclose(shares(found), shares(box), atol=most, rtol=0)


@NAMES
def test_several_boxes_keep_their_order(name: str) -> None:
    codec = find_codec(name)
    several = [Box(300, 200, 600, 400), BOX, OTHER]
    text = f"They are {codec.encode(several, WIDTH, HEIGHT, phrase='cats')}."
    alone = [codec.decode(codec.encode([box], WIDTH, HEIGHT), WIDTH, HEIGHT)[0] for box in several]
    assert codec.decode(text, WIDTH, HEIGHT) == alone


@NAMES
def test_the_whole_picture_has_a_form(name: str) -> None:
    codec, whole = find_codec(name), Box(0, 0, WIDTH, HEIGHT)
    [found] = codec.decode(codec.encode([whole], WIDTH, HEIGHT), WIDTH, HEIGHT)
    assert overlap(found, whole) > 0.93  # Kosmos-2 says middles of cells


# --- rounding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 29 / 100 * 100 is a little less than 29, and what is cut off is the whole step.
        ("minigpt_v2", "{<28><0><99><99>}"),
        ("ferret", "[290, 5, 998, 995]"),
        # Rounded: 998.75 and 995 thousandths; 995.003 parts of 999.
        ("shikra", "[0.290,0.005,0.999,0.995]"),
        ("llava", "[0.29, 0.01, 1.00, 0.99]"),
        ("qwen_vl", "<box>(290,5),(998,994)</box>"),
        # Half a pixel goes to the even one.
        ("fuyu", "<box>0, 29, 100, 100</box>"),
    ],
)
def test_steps_are_cut_off_or_rounded_as_published(name: str, expected: str) -> None:
    box = Box(29, 0.5, 99.875, 99.5)
    assert find_codec(name).encode([box], 100, 100) == expected


def test_a_box_on_the_edge_of_a_cell_does_not_take_the_next_one() -> None:
    """Kosmos-2 takes the floor of one corner, and one less than the ceiling of the other."""
    written = find_codec("kosmos2").encode([Box(20, 0, 40, 15)], 640, 480)
    assert written == "<object><patch_index_0001><patch_index_0001></object>"


# --- against transformers -----------------------------------------------------------------------


def test_kosmos_is_as_its_processor_writes_and_reads() -> None:
    codec = find_codec("kosmos2")
    for box in boxes(300):
        first, last = coordinate_to_patch_index(tuple(shares(box)), 32)
        expected = f"<object><patch_index_{first:04}><patch_index_{last:04}></object>"
        assert codec.encode([box], WIDTH, HEIGHT) == expected
        [found] = codec.decode(expected, WIDTH, HEIGHT)
        assert shares(found) == pytest.approx(patch_index_to_coordinate(first, last, 32))


def test_the_processor_of_kosmos_reads_what_is_written() -> None:
    written = find_codec("kosmos2").encode([BOX, OTHER], WIDTH, HEIGHT, phrase="two cats")
    _, [(phrase, _, found)] = clean_text_and_extract_entities_with_bboxes(f"See {written}.")
    read = find_codec("kosmos2").decode(written, WIDTH, HEIGHT)
    assert phrase == "two cats"
    assert [shares(box) for box in read] == [pytest.approx(each) for each in found]


def test_the_processor_of_fuyu_makes_tokens_of_what_is_written() -> None:
    """Halved and scaled, top before left, between two byte tokens."""
    written = find_codec("fuyu").encode([Box(65, 48, 320, 241)], WIDTH, HEIGHT)
    assert written == "<box>48, 65, 241, 320</box>"
    [tokens] = transform_coordinates([written], [torch.tensor(1.0)])
    halves = [round(edge / 2) for edge in (48, 65, 241, 320)]  # 65 / 2 to the even one
    assert halves == [24, 32, 120, 160]
    assert tokens == f"<0x00>{''.join(map(str, halves))}<0x01>"


# --- what is not written as it should be --------------------------------------------------------

MALFORMED = [
    *("", "a cat", "[]", "[0.1,0.2]", "[0.1,0.2,0.3]", "[a,b,c,d]", "[0.1,0.1,0.5,0.5", "{<1><2>}"),
    *("[0.1,0.1,0.5,0.5,0.9]", "[0.5,0.1,0.1,0.5]", "[0.1,0.1,1.5,0.5]", "[100, 100, 500]"),
    *("[500, 100, 100, 500]", "[1, 1, 1001, 5]", "{<50><10><10><50>}", "{<1><2><3><101>}"),
    *("<box>(1,2),(3)</box>", "(9,9),(1,1)", "<box>1, 2, 3</box>", "<box>a, b, c, d</box>"),
    *("<box>300, 2, 10, 3</box>", "<patch_index_0001>", "<patch_index_0400><patch_index_0001>"),
    *("<patch_index_1024><patch_index_1025>", "[-0.1,0.1,0.5,0.5]", "<box>0, 0, 481, 5</box>"),
]


@pytest.mark.parametrize("text", MALFORMED)
@NAMES
def test_what_is_malformed_is_no_box(name: str, text: str) -> None:
    assert find_codec(name).decode(text, WIDTH, HEIGHT) == []


@NAMES
def test_no_text_is_an_error(name: str) -> None:
    random_ = random.Random(1)
    signs = [*"[](){}<>,;. 0159", "<box>", "</box>", "<patch_index_0001>", "0.5", "100"]
    for _ in range(500):
        text = "".join(random_.choices(signs, k=30))
        for box in find_codec(name).decode(text, WIDTH, HEIGHT):
            assert 0 <= box.left <= box.right <= WIDTH
            assert 0 <= box.top <= box.bottom <= HEIGHT


def test_what_is_beyond_the_picture_is_cut_off() -> None:
    written = find_codec("shikra").encode([Box(-10, 240, 700, 480.5)], WIDTH, HEIGHT)
    assert written == "[0.000,0.500,1.000,1.000]"


@pytest.mark.parametrize("box", [Box(10, 10, 10, 20), Box(650, 1, 700, 9), Box(30, 1, 20, 9)])
def test_a_box_without_area_is_refused(box: Box) -> None:
    with pytest.raises(DataError, match="no area in a picture of 640 x 480 pixels"):
        find_codec("shikra").encode([box], WIDTH, HEIGHT)


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(DataError, match="unknown coordinates 'yolo'; known: shikra, ferret"):
        find_codec("yolo")


# --- squares and overlap ------------------------------------------------------------------------


def test_a_padded_picture_moves_its_boxes_to_its_middle() -> None:
    assert in_square(BOX, WIDTH, HEIGHT) == (Box(64, 128, 320, 320), 640)
    assert in_square(Box(1, 2, 3, 4), 5, 10) == (Box(3, 2, 5, 4), 10)  # 2 of 5 pixels go before


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(Box(0, 0, 2, 2), Box(1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap(Box(0, 0, 2, 2), Box(0, 0, 2, 1)) == 0.5
    assert overlap(BOX, BOX) == 1
    assert overlap(Box(0, 0, 1, 1), Box(1, 0, 2, 1)) == 0
    assert overlap(Box(1, 1, 1, 1), Box(1, 1, 1, 1)) == 0
