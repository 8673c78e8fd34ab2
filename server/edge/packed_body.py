"""Bodies that came packed with gzip, unpacked piece by piece and never past the limit of a body.

Does not read bodies: it unpacks what the app behind it reads.
"""

import asyncio
import zlib
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.edge.body_limit import most_bytes
from server.errors import BodyCorrupt, BodyTooLarge, PackingUnknown, response_for

_GZIP = {"gzip", "x-gzip"}
_GZIP_BITS = 16 + zlib.MAX_WBITS  # with gzip's own header and checksum
_PIECE_BYTES = 2**20


class PackedBody:
    """Unpacks bodies; refuses those that are packed in another way."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        """Wraps an app.

        Args:
            app: Reads the bodies.
            max_bytes: Largest body, unpacked.
        """
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        packing = headers.get("content-encoding", "").strip().lower()
        if packing in ("", "identity"):
            await self._app(scope, receive, send)
            return
        if packing not in _GZIP:
            error = PackingUnknown(
                f"a body packed as {packing[:40]!r} is not taken; send it as it is, or use gzip"
            )
            await response_for(error)(scope, receive, send)
            return
        dropped = (b"content-encoding", b"content-length")  # of the packed body
        scope["headers"] = [item for item in scope["headers"] if item[0] not in dropped]
        most = most_bytes(headers, self._max_bytes)
        await self._app(scope, self._unpacked(receive, most), send)

    def _unpacked(self, receive: Receive, most: int) -> Receive:
        """The messages of a body, unpacked."""
        gzip = _Gzip(most)
        pieces: Iterator[bytes] = iter(())
        has_more = True

        async def unpacked() -> Message:
            nonlocal pieces, has_more
            while True:
                # Lets other requests have their turn: a small piece may unpack to many.
                await asyncio.sleep(0)
                if piece := next(pieces, b""):
                    return {"type": "http.request", "body": piece, "more_body": True}
                if not has_more:
                    has_more = True  # the next message, if one is asked for, is a disconnect
                    gzip.check_end()
                    return {"type": "http.request", "body": b"", "more_body": False}
                message = await receive()
                if message["type"] != "http.request" or gzip.has_been_read:
                    return message
                pieces = gzip.unpack(message.get("body", b""))
                has_more = message.get("more_body", False)

        return unpacked


class _Gzip:
    """One body, perhaps of several gzip members."""

    def __init__(self, max_bytes: int) -> None:
        self.has_been_read = False
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._member = zlib.decompressobj(_GZIP_BITS)
        self._has_begun = False

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Unpack more of it, a bounded piece at a time."""
        is_full = False
        while packed or is_full:  # after a full piece there may be more inside
            self._has_begun = True
            try:
                piece = self._member.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                raise BodyCorrupt(
                    "the body is not gzip, as its Content-Encoding says; pack it again, or send "
                    "it as it is"
                ) from None
            packed, is_full = self._member.unconsumed_tail, len(piece) == _PIECE_BYTES
            if self._member.eof:
                packed, is_full = self._member.unused_data, False
                self._member, self._has_begun = zlib.decompressobj(_GZIP_BITS), False
            self._num_bytes += len(piece)
            if self._num_bytes > self._max_bytes:
                raise BodyTooLarge(
                    f"the unpacked body has more than {self._max_bytes} bytes, the most that is "
                    "accepted; send smaller media"
                )
            if piece:
                yield piece

    def check_end(self) -> None:
        """The body has ended; so must what is packed in it."""
        self.has_been_read = True
        if self._has_begun:
            raise BodyCorrupt("the packed body ends in the middle; send it whole")
