"""Files made to harm whoever reads them; each is small, and promises or unpacks to much more."""

import gzip
import io
import json
import struct
import zipfile
import zlib

import numpy as np
import PIL.Image
import soundfile

TEN_HOURS_S = 36_000


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def zeros(number: int) -> bytes:
    """So many zeros, compressed piece by piece."""
    packer = zlib.compressobj(9)
    piece = bytes(2**20)
    packed = [packer.compress(piece) for _ in range(number // 2**20)]
    return b"".join([*packed, packer.flush()])


def png(width: int, height: int, *extra: bytes, pixels: bytes = zlib.compress(bytes(100))) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = b"".join([header, *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def flat_png() -> bytes:
    """A quarter of a gigabyte of black."""
    return png(9_000, 9_000, pixels=zeros(243 * 2**20))


def wordy_png() -> bytes:
    """A text of an eighth of a gigabyte beside one pixel."""
    return png(1, 1, chunk(b"zTXt", b"words\0\0" + zeros(2**27)), pixels=zlib.compress(bytes(4)))


def profiled_png() -> bytes:
    """A colour profile of an eighth of a gigabyte."""
    return png(1, 1, chunk(b"iCCP", b"p\0\0" + zeros(2**27)), pixels=zlib.compress(bytes(4)))


def gif() -> bytes:
    screen = struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x01\x00\x00"
    return b"GIF89a" + screen + bytes(6) + frame + b";"


def webp() -> bytes:
    """The largest that the format allows, in a lossless header."""
    size = struct.pack("<I", 16383 | 16383 << 14)
    body = b"VP8L" + struct.pack("<I", 18) + b"\x2f" + size + bytes(13)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff() -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L", (64, 64)).save(file, "tiff")
    data = bytearray(file.getvalue())
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257):  # width and height
            struct.pack_into("<HHII", data, entry, tag, 4, 1, 60_000)
    return bytes(data)


def jpeg() -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L", (64, 64)).save(file, "jpeg")
    data = bytearray(file.getvalue())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 65_000, 65_000)
    return bytes(data)


def silent_flac(*, tells_its_length: bool) -> bytes:
    """Ten hours at 1000 Hz."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", samplerate=1000, channels=1, format="FLAC") as sound:
        block = np.zeros(1_000_000, np.int16)
        for _ in range(TEN_HOURS_S * 1000 // len(block)):
            sound.write(block)
    data = bytearray(file.getvalue())
    if not tells_its_length:
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    return bytes(data)


def silent_ogg() -> bytes:
    """Ten hours at 1000 Hz."""
    file = io.BytesIO()
    options = {"samplerate": 1000, "channels": 1, "format": "OGG", "subtype": "VORBIS"}
    with soundfile.SoundFile(file, "w", **options) as sound:
        for _ in range(TEN_HOURS_S // 600):
            sound.write(np.zeros(600_000, np.int16))
    return file.getvalue()


def npz(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def nested_npz(depth: int = 10) -> bytes:
    """Archives in archives, each called an array."""
    data = array(np.zeros((100, 6)))
    for _ in range(depth):
        data = npz({"samples.npy": data})
    return data


def zip_bomb() -> bytes:
    """An eighth of a gigabyte of zeros as one array."""
    header = array(np.zeros((1, 6), np.float32))[:-24]
    return npz({"samples.npy": header + bytes(2**27)})


def lying_zip() -> bytes:
    """The same, its directory saying that it is a hundred bytes."""
    data = bytearray(npz({"samples.npy": bytes(2**27)}))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", data, data.index(mark) + offset, 100)
    return bytes(data)


def long_parquet() -> bytes:
    """Ten million rows that take no room."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = pa.array(np.zeros(1_000_000, np.int8))
    table = pa.table(dict.fromkeys(("ax", "ay", "az"), rows))
    file = io.BytesIO()
    with parquet.ParquetWriter(file, table.schema) as writer:
        for _ in range(10):
            writer.write_table(table)
    return file.getvalue()


def rows_with(value: float) -> np.ndarray:
    rows = np.zeros((100, 6))
    rows[50, 2] = value
    return rows


def gzipped_body() -> bytes:
    """A request of an eighth of a gigabyte, packed."""
    words = json.dumps({"messages": [{"role": "user", "content": "x" * 2**27}]})
    return gzip.compress(words.encode(), compresslevel=1)


def deep_body() -> bytes:
    return b'{"messages": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
