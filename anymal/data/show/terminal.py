"""A row on a terminal: coloured words, and media drawn in half blocks.

Does not decode and does not read rows.
"""

from rich.console import Console
from rich.text import Text

from anymal.data.show.pictures import Pixels, caption_of, fitted, picture_of
from anymal.data.show.pieces import Piece
from anymal.data.show.row import ShownRow

STYLES = {"read": "", "learnt": "bold green", "slot": "black on cyan", "role": "bold"}
_UPPER_HALF = "\u2580"
_WIDTH, _HEIGHT = 76, 40  # pixels; two rows of pixels take one line


def show_row(row: ShownRow, console: Console) -> None:
    """Print a row.

    Args:
        row: What to show.
        console: Where; without colours, brackets mark what is learnt and no medium is drawn.
    """
    has_colours = console.color_system is not None
    console.print(Text(row.where, style="bold"))
    console.print(_words(row, has_colours=has_colours))
    console.print(told_tokens(row))
    for number, medium in enumerate(row.media, start=1):
        console.print(f"{medium.modality} {number}: {caption_of(medium.signal) or 'not readable'}")
        pixels = picture_of(medium.signal)
        if pixels is not None and has_colours:
            console.print(half_blocks(fitted(pixels, _WIDTH, _HEIGHT)))
    for mistake in row.mistakes:
        text = f"{mistake.kind}: {mistake.reason}; {mistake.change}"
        console.print(Text(text, style="red"))


def told_tokens(row: ShownRow) -> str:
    """How many tokens a row takes, and for what; without a model, what would tell that."""
    if any(piece.num_tokens is None for piece in row.pieces):
        return "tokens: only a recipe's model can count them"
    counts = {"read": 0, "learnt": 0, "slot": 0, "role": 0}
    for piece in row.pieces:
        counts[piece.kind] += piece.num_tokens or 0
    return (
        f"tokens: {sum(counts.values()):,}, {counts['slot']:,} of them for media; "
        f"{counts['learnt']:,} are learnt"
    )


def half_blocks(pixels: Pixels) -> Text:
    """Draw a picture in characters, each of which is one pixel above another.

    Args:
        pixels: `[H, W, 3]`.

    Returns:
        H / 2 lines of W characters; the last row of an odd number is left out.
    """
    text = Text()
    for upper, lower in zip(pixels[0:-1:2], pixels[1::2], strict=False):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append(_UPPER_HALF, style=f"rgb({_rgb(above)}) on rgb({_rgb(below)})")
        text.append("\n")
    return text


def _words(row: ShownRow, *, has_colours: bool) -> Text:
    """The pieces of a row, one after the other."""
    text = Text()
    for piece in row.pieces:
        text.append(marked(piece, is_learnt_marked=not has_colours), style=STYLES[piece.kind])
    return text


def marked(piece: Piece, *, is_learnt_marked: bool) -> str:
    """The text of a piece as it is printed."""
    if piece.kind == "slot":
        count = "" if piece.num_tokens is None else f" x {piece.num_tokens}"
        return f"[{piece.text}{count}]"
    if piece.kind == "role":
        return f"\n{piece.text}: "
    return f"[learnt: {piece.text}]" if piece.kind == "learnt" and is_learnt_marked else piece.text


def _rgb(values: list[int]) -> str:
    return ",".join(map(str, values))
