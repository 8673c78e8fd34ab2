"""The boxes of a plain row: read, moved into the square that a picture is padded to, written.

Does not know how a system writes boxes; `anymal.chat.coordinates` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anymal.chat.coordinates import Box, find_codec, in_square
from anymal.errors import ConversationError

BOX, WIDTH, HEIGHT = "box", "width", "height"  # keys of a row
_NUM_EDGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBoxes:
    """The boxes of a row.

    Attributes:
        boxes: In pixels.
        size: Width and height of the picture, or of its square.
        coordinates: How they are written, a name in `anymal.chat.coordinates`.
    """

    boxes: tuple[Box, ...]
    size: tuple[int, int]
    coordinates: str

    @property
    def text(self) -> str:
        """The boxes in words.

        Raises:
            DataError: One has no area in the picture.
        """
        return find_codec(self.coordinates).encode(self.boxes, *self.size)

    @property
    def meta(self) -> dict[str, Any]:
        """What `anymal.evaluation` compares an answer with that is to give the only box."""
        if len(self.boxes) > 1:
            return {}
        held = {"edges": list(self.boxes[0]), "size": list(self.size)}
        return {
            "answer": self.text,
            "score": "box",
            "box": {**held, "coordinates": self.coordinates},
        }


def read_boxes(row: Mapping[str, Any], *, coordinates: str, square: bool) -> RowBoxes:
    """Read the boxes of a row.

    Args:
        row: With `box`, one or a list of them, `width` and `height`, in pixels.
        coordinates: How they are to be written.
        square: Whether the picture is padded to a square.

    Raises:
        ConversationError: One of them is of another shape.
    """
    width, height = row[WIDTH], row[HEIGHT]
    if not all(isinstance(side, int) and side > 0 for side in (width, height)):
        raise ConversationError(
            f"{WIDTH} is {width!r:.40} and {HEIGHT} is {height!r:.40}; they should be the sides of "
            "the picture, as whole numbers of pixels"
        )
    boxes = [Box(*edges) for edges in _all_edges(row[BOX])]
    if square:
        boxes = [in_square(box, width, height)[0] for box in boxes]
        width = height = max(width, height)
    return RowBoxes(boxes=tuple(boxes), size=(width, height), coordinates=coordinates)


def _all_edges(value: Any) -> list[Any]:
    """The edges of one box, or of several."""
    several = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    for edges in several:
        numbers = edges if isinstance(edges, list) else []
        is_box = len(numbers) == _NUM_EDGES and all(isinstance(one, int | float) for one in numbers)
        if not is_box:
            raise ConversationError(
                f"{BOX} is {edges!r:.80}; it should be [left, top, right, bottom] in pixels, or a "
                "list of such boxes"
            )
    return several
