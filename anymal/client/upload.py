"""A request's body in pieces, told as they go out.

Does not open connections; only a body whose progress somebody watches is cut up.
"""

from collections.abc import AsyncIterator, Callable, Iterator

OnUpload = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all."""

_PIECE_BYTES = 64 * 1024


def pieces(content: bytes, on_upload: OnUpload) -> Iterator[bytes]:
    """Cut a body up.

    Args:
        content: The body.
        on_upload: Called before the first piece and after each; what it raises ends the upload.

    Yields:
        The pieces.
    """
    on_upload(0, len(content))
    for start in range(0, len(content), _PIECE_BYTES):
        piece = content[start : start + _PIECE_BYTES]
        yield piece
        # Whoever comes for the next piece has sent this one.
        on_upload(start + len(piece), len(content))


async def async_pieces(content: bytes, on_upload: OnUpload) -> AsyncIterator[bytes]:
    """Like `pieces`, for async code."""
    for piece in pieces(content, on_upload):
        yield piece
