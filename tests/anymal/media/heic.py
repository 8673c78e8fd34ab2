"""HEIC pictures, written box by box around a frame that x265 has coded."""

import io
import struct

import av
import numpy as np

# Without the words in which x265 describes itself.
_QUIET = {"x265-params": "log-level=none:info=0:pools=none:bframes=0"}


def heic(
    pixels: np.ndarray, *, quarter_turns: int = 0, said_size: tuple[int, int] | None = None
) -> bytes:
    """A picture of one part; turned counter-clockwise when shown, if asked for.

    `said_size` is a width and a height that the file's header states instead of the true ones.
    """
    decoder, frame = _coded(pixels)
    height, width = pixels.shape[:2]
    size = struct.pack(">II", *(said_size or (width, height)))
    properties = [decoder, _full(b"ispe", size), _box(b"irot", bytes([quarter_turns]))]
    # The first and the last must be understood, says the highest bit.
    links = struct.pack(">IHB", 1, 1, 3) + bytes([0x81, 0x02, 0x83])
    brands = _box(b"ftyp", b"heic\0\0\0\0mif1heic")

    def meta(start: int) -> bytes:
        item = _full(b"infe", struct.pack(">HH", 1, 0) + b"hvc1\0", version=2)
        where = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, start, len(frame))
        parts = [
            _full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iloc", where),
            _full(b"iinf", struct.pack(">H", 1) + item),
            _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", links)),
        ]
        return _full(b"meta", b"".join(parts))

    start = len(brands) + len(meta(0)) + 8
    return brands + meta(start) + _box(b"mdat", frame)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, body: bytes, *, version: int = 0) -> bytes:
    return _box(kind, bytes([version, 0, 0, 0]) + body)


def _coded(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """The decoder's settings, as a box, and one coded frame."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx265", rate=1, options=_QUIET)
        stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        output.mux(stream.encode())
    data = file.getvalue()
    place = data.index(b"hvcC") - 4
    settings = data[place : place + int.from_bytes(data[place : place + 4], "big")]
    with av.open(io.BytesIO(data)) as opened:
        frame = next(bytes(packet) for packet in opened.demux(video=0) if packet.size)
    return settings, frame
