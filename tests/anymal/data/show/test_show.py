"""One row on a terminal and as a PNG."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from anymal.data.checks.media import decode_alone
from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.data.show.page import draw_row
from anymal.data.show.pictures import fitted, picture_of
from anymal.data.show.row import ShownRow, index_of, look_at
from anymal.data.show.terminal import half_blocks, show_row
from anymal.errors import DataError
from anymal.recipe.data_entry import DataRecipe
from encoders.signals import Audio, Motion, Video
from tests.anymal.data import examples
from tests.anymal.data.checks.planted import plant
from tests.anymal.data.reading import opened

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    plant(tmp_path)
    entry = DataRecipe(manifest=str(tmp_path / "train.jsonl"), media=str(tmp_path / "media"))
    return open_rows(entry)


def line_of(rows: Rows, question: str) -> int:
    """The row that asks a question."""
    for index in range(2, len(rows)):  # the first two cannot be read
        if question in str(rows[index]):
            return index
    raise AssertionError(question)


def shown(row: ShownRow, *, has_colours: bool) -> str:
    file = io.StringIO()
    system: Any = "truecolor" if has_colours else None
    show_row(row, Console(file=file, color_system=system, width=200, force_terminal=has_colours))
    return file.getvalue()


def test_a_row_without_colours(rows: Rows) -> None:
    row = look_at(rows, line_of(rows, "An image, good.png?"), None)
    lines = shown(row, has_colours=False).splitlines()
    assert lines[0] == row.where
    assert "user: [image 1]An image, good.png?" in lines
    assert "assistant: [learnt: It is a picture.]" in lines
    assert lines[-1] == "image 1: 24 x 24 pixels"


def test_what_is_learnt_is_coloured_and_media_are_drawn(rows: Rows) -> None:
    text = shown(look_at(rows, line_of(rows, "An image, good.png?"), None), has_colours=True)
    assert "\x1b[1;32mIt is a picture.\x1b[0m" in text
    assert text.count("\u2580") == 24 * 12


def test_what_is_shown_is_decoded_once(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def decode(medium: Any, modality: str) -> Any:
        decoded.append(modality)
        return decode_alone(medium, modality)

    monkeypatch.setattr("anymal.data.checks.row.decode_alone", decode)
    look_at(rows, line_of(rows, "An image, good.png?"), None)
    assert decoded == ["image"]


def test_a_row_that_is_no_conversation_says_what_to_change(rows: Rows) -> None:
    with pytest.raises(DataError, match=r"train.jsonl:1: not valid JSON .*; repair or remove it"):
        look_at(rows, 0, None)


def test_mistakes_are_shown(rows: Rows) -> None:
    text = shown(look_at(rows, line_of(rows, "An image, none.png?"), None), has_colours=False)
    assert "image 1: not readable" in text
    assert "missing: none.png: no such file" in text


def test_a_page_holds_the_picture_below_the_words(rows: Rows, tmp_path: Path) -> None:
    row = look_at(rows, line_of(rows, "An image, good.png?"), None)
    draw_row(row, tmp_path / "out" / "row.png")
    page = np.asarray(Image.open(tmp_path / "out" / "row.png"))
    pixels = row.media[0].signal.pixels
    # Above the last margin and gap, behind the left margin.
    assert np.array_equal(page[-30 - 24 : -30, 20 : 20 + 24], pixels)
    learnt = (page == (0x1A, 0x7F, 0x37)).all(axis=2)
    assert learnt.any()
    assert np.flatnonzero(learnt.any(axis=1)).max() < len(page) - 54


def test_half_blocks_are_two_pixels_each() -> None:
    pixels = np.array([[RED, BLUE], [BLUE, BLUE], [RED, RED]], dtype=np.uint8)
    text = half_blocks(pixels)
    assert text.plain == "\u2580\u2580\n"
    assert [str(span.style) for span in text.spans] == [
        "rgb(255,0,0) on rgb(0,0,255)",
        "rgb(0,0,255) on rgb(0,0,255)",
    ]


def test_pictures_of_what_is_none() -> None:
    frames = np.zeros((3, 10, 20, 3), dtype=np.uint8)
    film = picture_of(Video(frames=frames, times_s=np.arange(3.0), duration_s=3.0))
    assert film is not None
    assert film.shape == (10, 60, 3)
    loud = np.zeros(4800, dtype=np.float32)
    loud[2400:] = np.resize([0.5, -0.5], 2400)
    sound = picture_of(Audio(samples=loud, rate_hz=8000))
    assert sound is not None
    is_blue = (sound == (43, 108, 176)).all(axis=2).sum(axis=0)
    assert is_blue[:240].max() <= 1  # silence is a line
    assert is_blue[240:].min() == 160  # the loudest sample reaches both edges
    samples = np.zeros((50, 6), dtype=np.float32)
    present = np.array([True] * 3 + [False] * 3)
    moved = picture_of(Motion(samples=samples, rate_hz=50.0, present=present))
    assert moved is not None
    assert moved.shape == (80, 480, 3)  # acceleration alone
    assert picture_of(object()) is None


def test_pictures_are_only_made_smaller() -> None:
    wide = np.zeros((10, 40, 3), dtype=np.uint8)
    assert fitted(wide, 20, 20).shape == (5, 20, 3)
    assert fitted(wide, 80, 80) is wide


def test_a_row_is_named_as_check_names_it(rows: Rows) -> None:
    assert index_of(rows, "7") == 6
    with pytest.raises(DataError, match="there is no row 700; the data set has rows 1 to"):
        index_of(rows, "700")


def test_more_of_its_place_tells_a_row_from_others_of_its_number(tmp_path: Path) -> None:
    rows = opened(examples.hf_parquet(tmp_path))
    assert index_of(rows, "1") == 0
    assert index_of(rows, "train-00001-of-00002.parquet:1") == index_of(rows, rows.where(2)) == 2
