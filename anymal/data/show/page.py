"""A row as a PNG: the same words in the same colours, and its media below them.

Does not decode and does not read rows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from anymal.data.show.pictures import caption_of, fitted, picture_of
from anymal.data.show.row import ShownRow
from anymal.data.show.terminal import marked, told_tokens

_COLUMNS = 100
_CHARACTER, _LINE = 9, 20  # pixels
_WIDTH = _COLUMNS * _CHARACTER
_MARGIN, _GAP = 20, 10
_MEDIUM_HEIGHT = 240
_FONT_SIZE = 15  # whose characters are 9 pixels wide
_INK, _PAPER, _WRONG = "#222222", "#ffffff", "#c53030"
_COLOURS = {"read": _INK, "learnt": "#1a7f37", "slot": "#00637a", "role": "#888888"}
_SLOT_PAPER = "#d7f0f5"
_WORD = re.compile(r"\n|[^\S\n]+|\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Characters in a row and of one kind, and where the first of them stands."""

    text: str
    kind: str
    line: int
    column: int


def draw_row(row: ShownRow, path: Path) -> None:
    """Write a row as a PNG.

    Args:
        row: What to draw.
        path: The file.
    """
    told = [told_tokens(row), *(f"{one.kind}: {one.reason}" for one in row.mistakes)]
    blocks = [
        _lines([row.where[-_COLUMNS:]]),
        _words(list(_laid_out(row))),
        _lines(told, colour=_WRONG if row.mistakes else _INK),
    ]
    for number, medium in enumerate(row.media, start=1):
        caption = caption_of(medium.signal) or "not readable"
        blocks.append(_lines([f"{medium.modality} {number}: {caption}"]))
        if (pixels := picture_of(medium.signal)) is not None:
            blocks.append(PIL.Image.fromarray(fitted(pixels, _WIDTH, _MEDIUM_HEIGHT)))
    height = _MARGIN + sum(block.height + _GAP for block in blocks) + _MARGIN
    page = PIL.Image.new("RGB", (_WIDTH + 2 * _MARGIN, height), _PAPER)
    place = _MARGIN
    for block in blocks:
        page.paste(block, (_MARGIN, place))
        place += block.height + _GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, "PNG")


def _lines(lines: list[str], *, colour: str = _INK) -> PIL.Image.Image:
    """Lines of one colour; what is too long is cut."""
    block = PIL.Image.new("RGB", (_WIDTH, len(lines) * _LINE), _PAPER)
    pen = PIL.ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        pen.text((0, number * _LINE), line[:_COLUMNS], fill=colour, font=_font())
    return block


def _words(runs: list[_Run]) -> PIL.Image.Image:
    """Runs in their colours."""
    num_lines = runs[-1].line + 1 if runs else 0
    block = PIL.Image.new("RGB", (_WIDTH, num_lines * _LINE), _PAPER)
    pen = PIL.ImageDraw.Draw(block)
    for run in runs:
        left, top = run.column * _CHARACTER, run.line * _LINE
        if run.kind == "slot":
            right = left + len(run.text) * _CHARACTER
            pen.rectangle((left, top, right, top + _LINE - 2), fill=_SLOT_PAPER)
        pen.text((left, top), run.text, fill=_COLOURS[run.kind], font=_font())
    return block


def _font() -> PIL.ImageFont.FreeTypeFont:
    """A font of equally wide characters, which comes with matplotlib."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    return PIL.ImageFont.truetype(str(path), _FONT_SIZE)


def _laid_out(row: ShownRow) -> Iterator[_Run]:
    """The words of a row on lines of equal length, broken between words."""
    line = column = 0
    for piece in row.pieces:
        for word in _WORD.findall(marked(piece, is_learnt_marked=False)):
            if word == "\n":
                line, column = line + 1, 0
                continue
            if column and column + len(word.rstrip()) > _COLUMNS:
                line, column = line + 1, 0
            for start in range(0, len(word), _COLUMNS):
                part = word[start : start + _COLUMNS]
                if start:
                    line, column = line + 1, 0
                yield _Run(text=part, kind=piece.kind, line=line, column=column)
                column += len(part)
