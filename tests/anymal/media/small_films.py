"""Films of few bytes that ask FFmpeg for much memory or much work."""

import io
import struct
import zlib

import PIL.Image

from tests.anymal.media.small_files import progressive_jpeg


def gif_film(side: int = 2000, num: int = 40) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    frame = b"!\xf9\x04\x00\x0a\x00\x00\x00," + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    return head + (frame + b"\x02\x02\x44\x01\x00") * num + b";"


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


_MATRIX = numbers(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def table_mp4(
    *,
    stsz: bytes = numbers(0, 1, 1),
    stts: bytes = numbers(0, 1, 1, 1),
    stsc: bytes = numbers(0, 1, 1, 1, 1),
    stco: bytes = numbers(0, 1, 48),
    edits: bytes = b"",
    extra: bytes = b"",
    tail: bytes = b"",
    is_sound: bool = False,
    mdat: bytes = b"x" * 1000,
) -> bytes:
    """An MP4 with one track whose sample tables say anything."""
    if is_sound:
        entry = box(
            b"sowt", bytes(6), b"\0\1", bytes(8), struct.pack(">HHII", 1, 16, 0, 48000 << 16)
        )
        head = box(b"smhd", bytes(8))
    else:
        video = bytes(6) + b"\0\1" + bytes(16) + struct.pack(">HHII", 64, 48, 0x480000, 0x480000)
        entry = box(b"mp4v", video, bytes(4), b"\0\1", bytes(32), b"\0\x18\xff\xff")
        head = box(b"vmhd", bytes(12))
    table = box(
        b"stbl",
        box(b"stsd", numbers(0, 1), entry),
        box(b"stts", stts),
        box(b"stsc", stsc),
        box(b"stsz", stsz),
        box(b"stco", stco),
        extra,
    )
    kind = b"soun" if is_sound else b"vide"
    media = box(
        b"mdia",
        box(b"mdhd", numbers(0, 0, 0, 48000, 48000, 0)),
        box(b"hdlr", bytes(8), kind, bytes(13)),
        box(b"minf", head, table),
    )
    track = box(
        b"tkhd", numbers(7, 0, 0, 1, 0, 1000), bytes(16), _MATRIX, numbers(64 << 16, 48 << 16)
    )
    moov = box(
        b"moov",
        box(
            b"mvhd",
            numbers(0, 0, 0, 1000, 1000, 0x10000),
            bytes(12),
            _MATRIX,
            bytes(24),
            numbers(2),
        ),
        box(b"trak", track, box(b"edts", box(b"elst", edits)) if edits else b"", media),
    )
    return box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", mdat) + moov + tail


def many_samples() -> bytes:
    most = 50_000_000
    return table_mp4(
        stsz=numbers(0, 1, most), stts=numbers(0, 1, most, 1), stsc=numbers(0, 1, 1, most, 1)
    )


def many_per_chunk() -> bytes:
    """Each chunk of a sound of raw samples says that it holds two thousand million."""
    return table_mp4(
        is_sound=True,
        stsz=numbers(0, 1, 48000),
        stts=numbers(0, 1, 48000, 1),
        stsc=numbers(0, 1, 1, 2**31 - 1, 1),
        stco=numbers(0, 60, *[48] * 60),
    )


def many_edits() -> bytes:
    num = 20_000
    edits = numbers(0, 3000) + numbers(1000, 0, 0x10000) * 3000
    return table_mp4(
        stsz=numbers(0, 1, num),
        stts=numbers(0, 1, num, 2),
        stsc=numbers(0, 1, 1, num, 1),
        edits=edits,
    )


def overlapping_samples() -> bytes:
    """Thirty thousand frames, each the same megabyte."""
    num = 30_000
    return table_mp4(
        stsz=numbers(0, 10**6, num),
        stts=numbers(0, 1, num, 480),
        stsc=numbers(0, 1, 1, 1, 1),
        stco=numbers(0, num, *[48] * num),
        mdat=b"x" * 10**6,
    )


def many_fragment_samples() -> bytes:
    run = box(b"trun", numbers(0, 50_000_000))
    header = box(b"tfhd", numbers(0x38, 1, 1, 1, 0))
    piece = box(b"moof", box(b"mfhd", numbers(0, 1)), box(b"traf", header, run))
    return table_mp4(tail=piece + box(b"mdat", bytes(8)))


def packed_head() -> bytes:
    """A head that unpacks to many times its size."""
    packed = zlib.compress(bytes(2**24), 9)
    head = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", numbers(2**24), packed))
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"mdat", bytes(100)) + box(b"moov", head)


def many_words(num: int = 6_000) -> bytes:
    """Words about a film, each under a name of its own."""
    words = [
        box(b"\xa9%c%c%c" % (97 + n // 676 % 26, 97 + n // 26 % 26, 97 + n % 26), b"\0\1\0\0a")
        for n in range(num)
    ]
    keys = box(b"keys", numbers(0, num), *(box(b"mdta", b"k%d" % n) for n in range(num)))
    items = [box(numbers(n + 1), box(b"data", numbers(1, 0), b"a")) for n in range(num)]
    meta = box(b"meta", box(b"hdlr", bytes(8), b"mdta", bytes(13)), keys, box(b"ilst", *items))
    data = table_mp4()
    place = data.rindex(b"moov") - 4
    return data[:place] + box(b"moov", data[place + 8 :], meta, box(b"udta", *words))


def many_tracks(num: int = 200) -> bytes:
    data = table_mp4()
    place, track = data.rindex(b"moov") - 4, data.rindex(b"trak") - 4
    return data[:place] + box(b"moov", data[place + 8 : track], data[track:] * num)


def vint(size: int) -> bytes:
    return (1 << 56 | size).to_bytes(8, "big")


def element(key: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes.fromhex(key) + vint(len(body)) + body


def matroska(*extra: bytes, blocks: bytes = b"", picture: bytes = b"") -> bytes:
    head = element("1A45DFA3", element("4282", b"matroska"))
    info = element("1549A966", element("2AD7B1", (1000000).to_bytes(4, "big")))
    video = element("E0", element("B0", b"\x40"), element("BA", b"\x30"))
    track = element(
        "AE",
        element("D7", b"\1"),
        element("73C5", b"\1"),
        element("83", b"\1"),
        element("86", b"V_MJPEG"),
        video,
    )
    sound = element(
        "AE",
        element("D7", b"\2"),
        element("73C5", b"\2"),
        element("83", b"\2"),
        element("86", b"A_PCM/INT/LIT"),
        element("E1", element("B5", struct.pack(">f", 48000)), element("6264", b"\x10")),
    )
    file = io.BytesIO()
    PIL.Image.new("RGB", (64, 48)).save(file, "jpeg")
    frame = element("A3", b"\x81\0\0\x80", picture or file.getvalue())
    sample = element("A3", b"\x82\0\0\x80", bytes(960))
    cluster = element("1F43B675", element("E7", b"\0"), frame, sample, blocks)
    return head + element("18538067", info, element("1654AE6B", track, sound), *extra, cluster)


def many_tag_names(num: int = 6_000) -> bytes:
    tags = (element("67C8", element("45A3", b"k%d" % n), element("4487", b"v")) for n in range(num))
    return matroska(element("1254C367", element("7373", *tags)))


def many_cues() -> bytes:
    return matroska(element("1C53BB6B", b"\xbb\x80" * 600_000))


def many_blocks() -> bytes:
    """Empty pieces of sound beside one picture."""
    return matroska(blocks=(b"\xa3\x85\x82\0\0\x80\0") * 600_000)


def laced_blocks() -> bytes:
    """Blocks that each hold 256 empty pieces."""
    return matroska(blocks=(b"\xa3\x41\x05\x82\0\0\x84\xff" + bytes(256)) * 2_000)


def scans_in_film() -> bytes:
    return matroska(picture=progressive_jpeg(200, 64))
