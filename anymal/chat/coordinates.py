"""Boxes as words, and words as boxes, as seven published systems write them.

Each system has its own range, order and rounding. Does not know pictures: whoever pads a picture
pads its boxes too (`in_square`). Points and masks have no form here.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from anymal.errors import DataError


class Box(NamedTuple):
    """A rectangle in pixels; its right and bottom edges lie behind its last pixels."""

    left: float
    top: float
    right: float
    bottom: float


Four = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How one system writes boxes.

    Attributes:
        write: From edges and from what the boxes show ("": nothing is said of that) to words.
        read: From the numbers that stand for one box to its edges.
        pattern: How one box is written; its groups are these numbers.
        in_pixels: Whether edges are pixels here, and not shares of the picture's width and height.
    """

    write: Callable[[Sequence[Four], str], str]
    read: Callable[[Four], Four]
    pattern: re.Pattern[str]
    in_pixels: bool = False

    def encode(self, boxes: Sequence[Box], width: int, height: int, *, phrase: str = "") -> str:
        """Write boxes of a picture.

        Args:
            boxes: At least one, in pixels. What is beyond the picture is cut off.
            width: Of the picture, in pixels.
            height: Of the picture, in pixels.
            phrase: What the boxes show.

        Returns:
            The words.

        Raises:
            DataError: There is no box, or one has no area in the picture.
        """
        if not boxes:
            raise DataError("there is no box to write; leave its record out")
        inside = [_cut(box, width, height) for box in boxes]
        return self.write(inside if self.in_pixels else _shares(inside, width, height), phrase)

    def decode(self, text: str, width: int, height: int) -> list[Box]:
        """Find the boxes that an answer names.

        Args:
            text: Any words.
            width: Of the picture, in pixels.
            height: Of the picture, in pixels.

        Returns:
            The boxes in order. What is not written as it should be is no box, nor is one whose
            edges are out of order or beyond the picture.
        """
        sides = (1, 1) if self.in_pixels else (width, height)
        found = []
        for match in self.pattern.finditer(text):
            numbers = [float(group) for group in match.groups()]
            left, top, right, bottom = self.read(_four(numbers))
            box = Box(left * sides[0], top * sides[1], right * sides[0], bottom * sides[1])
            if 0 <= box.left <= box.right <= width and 0 <= box.top <= box.bottom <= height:
                found.append(box)
        return found


def find_codec(name: str) -> Codec:
    """The codec of a system.

    Raises:
        DataError: There is none of this name.
    """
    if name not in CODECS:
        raise DataError(f"unknown coordinates {name!r}; known: {', '.join(CODECS)}")
    return CODECS[name]


def in_square(box: Box, width: int, height: int) -> tuple[Box, int]:
    """A box of a picture that is padded to a square, as Shikra and LLaVA-1.5 pad it.

    Args:
        box: In pixels.
        width: Of the picture.
        height: Of the picture.

    Returns:
        The box in the square, and the side of the square.
    """
    side = max(width, height)
    right, down = (side - width) // 2, (side - height) // 2
    return Box(box.left + right, box.top + down, box.right + right, box.bottom + down), side


def overlap(one: Box, other: Box) -> float:
    """Intersection over union; 0 for two boxes without any area.

    Stretching both along an axis does not change it.
    """
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    both = _area(one) + _area(other) - shared
    return shared / both if both else 0.0


# --- the systems --------------------------------------------------------------------------------

_CELLS = 32  # of Kosmos-2, along each side


def _decimals(places: int, comma: str, between: str) -> Callable[[Sequence[Four], str], str]:
    """Shares, each rounded to some decimals, all boxes between two brackets."""

    def write(boxes: Sequence[Four], phrase: str) -> str:
        written = between.join(comma.join(f"{share:.{places}f}" for share in box) for box in boxes)
        return _after(phrase, f"[{written}]")

    return write


def _ferret(boxes: Sequence[Four], phrase: str) -> str:
    """Thousandths, cut off."""
    return _after(phrase, " ".join(str([int(1000 * share) for share in box]) for box in boxes))


def _minigpt(boxes: Sequence[Four], phrase: str) -> str:
    """Hundredths, cut off: 0.29 is 28 (`int(29 / 100 * 100)`)."""
    each = ("".join(f"<{int(share * 100)}>" for share in box) for box in boxes)
    written = "<delim>".join(f"{{{numbers}}}" for numbers in each)
    return f"<p>{phrase}</p> {written}" if phrase else written


def _qwen(boxes: Sequence[Four], phrase: str) -> str:
    """From 0 to 999, rounded, as its evaluation divides by 999."""
    corners = ([round(999 * share) for share in box] for box in boxes)
    written = "".join(f"<box>({a},{b}),({c},{d})</box>" for a, b, c, d in corners)
    return f"<ref>{phrase}</ref>{written}" if phrase else written


def _kosmos(boxes: Sequence[Four], phrase: str) -> str:
    """The cells of two corners, in a grid of 32 x 32."""
    written = []
    for left, top, right, bottom in boxes:
        first = math.floor(top * _CELLS) * _CELLS + math.floor(left * _CELLS)
        last = math.ceil(bottom * _CELLS - 1) * _CELLS + math.ceil(right * _CELLS - 1)
        written.append(f"<patch_index_{first:04}><patch_index_{last:04}>")
    told = f"<phrase>{phrase}</phrase>" if phrase else ""
    return f"{told}<object>{'</delimiter_of_multi_objects/>'.join(written)}</object>"


def _of_cells(cells: Four) -> Four:
    """From the middle of one cell to that of the other; whole cells where they are in a line."""
    (top, left), (bottom, right) = (divmod(int(cell), _CELLS) for cell in cells[:2])
    is_line = left == right or top == bottom
    before, behind = (0.0, 1.0) if is_line else (0.5, 0.5)
    edges = (left + before, top + before, right + behind, bottom + behind)
    return _four([edge / _CELLS for edge in edges])


def _fuyu(boxes: Sequence[Four], phrase: str) -> str:
    """Whole pixels, top before left; `FuyuProcessor` halves them and makes tokens of them."""
    turned = ((top, left, bottom, right) for left, top, right, bottom in boxes)
    each = (", ".join(str(round(edge)) for edge in edges) for edges in turned)
    return _after(phrase, " ".join(f"<box>{edges}</box>" for edges in each))


def _divided_by(most: float) -> Callable[[Four], Four]:
    """From steps to shares."""
    return lambda steps: _four([step / most for step in steps])


_SHARE, _WHOLE, _COMMA = r"([01](?:\.\d+)?|\.\d+)", r"(\d{1,5})", r"\s*,\s*"
# One of several boxes between brackets: no other number stands before it or behind it.
_IN_BRACKETS = rf"(?<=[\[;])\s*{_COMMA.join([_SHARE] * 4)}\s*(?=[\];])"

CODECS: dict[str, Codec] = {
    "shikra": Codec(
        write=_decimals(3, ",", ";"), read=_divided_by(1), pattern=re.compile(_IN_BRACKETS)
    ),
    "ferret": Codec(
        write=_ferret,
        read=_divided_by(1000),
        pattern=re.compile(rf"\[\s*{_COMMA.join([_WHOLE] * 4)}\s*\]"),
    ),
    "kosmos2": Codec(
        write=_kosmos,
        read=_of_cells,
        pattern=re.compile(r"<patch_index_(\d{4})><patch_index_(\d{4})>"),
    ),
    "qwen_vl": Codec(
        write=_qwen,
        read=_divided_by(999),
        pattern=re.compile(
            rf"\(\s*{_WHOLE}{_COMMA}{_WHOLE}\s*\){_COMMA}\(\s*{_WHOLE}{_COMMA}{_WHOLE}\s*\)"
        ),
    ),
    "minigpt_v2": Codec(
        write=_minigpt,
        read=_divided_by(100),
        pattern=re.compile(r"\{" + r"<(\d{1,3})>" * 4 + r"\}"),
    ),
    "fuyu": Codec(
        write=_fuyu,
        read=lambda edges: (edges[1], edges[0], edges[3], edges[2]),
        pattern=re.compile(rf"<box>\s*{_COMMA.join([_WHOLE] * 4)}\s*</box>"),
        in_pixels=True,
    ),
    "llava": Codec(
        write=_decimals(2, ", ", "], ["), read=_divided_by(1), pattern=re.compile(_IN_BRACKETS)
    ),
}


# --- helpers ------------------------------------------------------------------------------------


def _cut(box: Box, width: int, height: int) -> Four:
    """The part of a box that is in the picture."""
    left, right = (min(max(edge, 0.0), width) for edge in (box.left, box.right))
    top, bottom = (min(max(edge, 0.0), height) for edge in (box.top, box.bottom))
    if not (left < right and top < bottom):
        raise DataError(
            f"the box {list(box)} has no area in a picture of {width} x {height} pixels; boxes are "
            "[left, top, right, bottom] in pixels"
        )
    return left, top, right, bottom


def _shares(boxes: Iterable[Four], width: int, height: int) -> list[Four]:
    """Pixels as shares of the sides."""
    sides = (width, height, width, height)
    return [_four([edge / side for edge, side in zip(box, sides, strict=True)]) for box in boxes]


def _four(numbers: Sequence[float]) -> Four:
    """Four numbers as a tuple; the two cells of Kosmos-2 are followed by zeros."""
    a, b, c, d = [*numbers, 0.0, 0.0][:4]
    return a, b, c, d


def _after(phrase: str, written: str) -> str:
    return f"{phrase} {written}" if phrase else written


def _area(box: Box) -> float:
    return max(box.right - box.left, 0.0) * max(box.bottom - box.top, 0.0)
