"""Whether the box in an answer is the right one, as RefCOCO and its like are scored.

Does not read pictures: a record says how large its picture is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anymal.chat.coordinates import Box, find_codec, overlap
from anymal.errors import DataError

# Accuracy at 0.5, as referring expressions are scored since RefCOCO (arXiv 1608.00272).
LEAST_OVERLAP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedBox:
    """The box that an answer has to give.

    Attributes:
        box: In pixels.
        width: Of the picture.
        height: Of the picture.
        coordinates: How answers write boxes, a name in `anymal.chat.coordinates`.
    """

    box: Box
    width: int
    height: int
    coordinates: str

    def is_met_by(self, text: str) -> bool:
        """Whether the first box of an answer overlaps this one by half."""
        found = find_codec(self.coordinates).decode(text, self.width, self.height)
        return bool(found) and overlap(found[0], self.box) >= LEAST_OVERLAP


def read_box(meta: Mapping[str, Any], *, where: str) -> ExpectedBox:
    """Read `meta.box` of a record.

    Args:
        meta: With `box`: `{"edges": [left, top, right, bottom], "size": [width, height],
            "coordinates": name}`, in pixels.
        where: Names the record in errors.

    Raises:
        DataError: It is of another shape, or the coordinates are unknown.
    """
    held = meta.get("box")
    try:
        left, top, right, bottom = map(float, held["edges"])  # type: ignore[index]
        width, height = map(int, held["size"])  # type: ignore[index]
        coordinates = str(held["coordinates"])  # type: ignore[index]
    except (TypeError, ValueError, KeyError):
        raise DataError(
            f"{where} has meta.score 'box' and meta.box {held!r:.80}; it should be {{\"edges\": "
            '[left, top, right, bottom], "size": [width, height], "coordinates": name}'
        ) from None
    find_codec(coordinates)  # its error is a DataError
    return ExpectedBox(
        box=Box(left, top, right, bottom), width=width, height=height, coordinates=coordinates
    )
