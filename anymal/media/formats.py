"""Which format some bytes are, told from their first bytes.

It trusts no file name and no declared type, and it decodes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass

from anymal.errors import MediaEmpty, MediaUnsupported
from anymal.media.mpeg_audio import find_frames, id3_length, sync_key
from anymal.media.source import Source

IMAGES = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "heif", "avif")
FILMS = ("mp4", "matroska", "avi", "gif", "mpegts", "mpg", "ogg")
SOUNDS = (
    *("wav", "flac", "ogg", "mp3", "aiff", "mp4", "aac", "amr", "caf", "matroska", "avi"),
    *("mpegts", "mpg"),
)
RECORDINGS = ("csv", "json", "npy", "npz", "parquet")

ACCEPTED_IMAGES = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
ACCEPTED_FILMS = (
    f"MP4, MOV, 3GP, WebM, MKV, AVI, MPEG-TS, MPG, OGV or GIF, or a still image ({ACCEPTED_IMAGES})"
)
ACCEPTED_SOUNDS = (
    "WAV, FLAC, OGG, MP3, AIFF, M4A, AAC, AMR, CAF, or the sound of an MP4, MOV, WebM, MKV or AVI"
)
ACCEPTED_RECORDINGS = "CSV or JSON saved as UTF-8, a ZIP of those, NPY, NPZ or Parquet"

_LABELS = {
    "jpeg": "a JPEG image",
    "png": "a PNG image",
    "webp": "a WebP image",
    "gif": "a GIF",
    "bmp": "a BMP image",
    "tiff": "a TIFF image",
    "heif": "a HEIC image",
    "avif": "an AVIF image",
    "mp4": "an MP4, MOV or M4A file",
    "matroska": "a WebM or MKV file",
    "avi": "an AVI film",
    "mpegts": "an MPEG transport stream",
    "mpg": "an MPG film",
    "wav": "a WAV sound",
    "flac": "a FLAC sound",
    "ogg": "an OGG file",
    "mp3": "an MP3 sound",
    "aac": "an AAC sound",
    "aiff": "an AIFF sound",
    "amr": "an AMR sound",
    "caf": "a CAF sound",
    "npy": "a NumPy array",
    "npz": "a ZIP or NPZ archive",
    "parquet": "a Parquet table",
    "pdf": "a PDF document",
    "gzip": "a gzip archive",
    "html": "an HTML or XML page",
    "json": "JSON text",
    "csv": "text",
    "utf-16": "UTF-16 text",
    "binary": "bytes of no known format",
}

_PREFIXES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"\x00\x00\x01\xba", "mpg"),
    (b"#!AMR", "amr"),
    (b"caff", "caf"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"PK\x05\x06", "npz"),
    (b"PAR1", "parquet"),
    (b"%PDF", "pdf"),
    (b"\x1f\x8b", "gzip"),
    # Before the sync bits of a sound: one of these marks has them too.
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_RIFF_TYPES = {b"WAVE": "wav", b"WEBP": "webp", b"AVI ": "avi"}
_PICTURE_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), "heif"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
}
# The family of both, which leaves open how the picture is coded; a further brand tells.
_PICTURE_FAMILY = (b"mif1", b"msf1")
_QUICKTIME_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# Packets of 188 bytes, each behind a time of 4 bytes in the files of camcorders.
_TS_PACKETS = ((0, 188), (4, 192))
TS_SYNC = b"G"
_TS_PROBE = 4
_TEXT_PROBE = 4096
# Bytes that are looked at, behind the tags of a sound.
_PROBE = 2**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format's key, how to name it in a sentence, and where its own bytes begin.

    A sound may stand behind ID3 tags, zeros, or the rest of a frame.
    """

    key: str
    label: str
    start: int = 0


def detect(data: bytes) -> Format:
    """Tells the format of a file from its first bytes.

    Args:
        data: The file's bytes, or at least the first few thousand.

    Returns:
        The format; `binary` where nothing is recognised, `csv` for any other text.
    """
    start = id3_length(data)
    probe = data[start : start + _PROBE]
    key = _by_prefix(probe) or _by_riff(probe) or _by_atom(probe) or _by_packets(probe)
    sync = sync_key(probe) or ("mp3" if start else None)
    # The mark of UTF-16 may be the middle of a frame.
    if key == "utf-16" or (key is None and (sync or _by_text(probe) == "binary")):
        # Without frames in a row, it is a broken file of what it begins as.
        key, zeros_end, start = key or sync or "binary", _zeros_end(data, start), 0
        if found := find_frames(data[zeros_end : zeros_end + _PROBE]):
            key, start = found[0], zeros_end + found[1]
    key = key or _by_text(probe)
    return Format(key=key, label=_LABELS[key], start=start)


def require(source: Source, allowed: Collection[str], accepted: str) -> str:
    """Tells the format of a source and refuses those that are not allowed.

    Args:
        source: The file.
        allowed: Keys of the formats that the caller decodes.
        accepted: The same in words, for the error.

    Returns:
        The key of the format.

    Raises:
        MediaEmpty: The file has no bytes.
        MediaUnsupported: The file is of another format.
    """
    if not source.data:
        raise MediaEmpty(source.name, "an empty file (0 bytes)", accepted)
    found = detect(source.data)
    if found.key not in allowed:
        raise MediaUnsupported(source.name, found.label, accepted)
    return found.key


def _by_prefix(data: bytes) -> str | None:
    """Formats that open with a fixed signature."""
    return next((key for prefix, key in _PREFIXES if data.startswith(prefix)), None)


def _by_riff(data: bytes) -> str | None:
    """The RIFF and IFF families, which name their type after the size."""
    if data[:4] in (b"RF64", b"BW64", b"RIFX"):
        return "wav" if data[8:12] == b"WAVE" else None
    if data[:4] == b"RIFF":
        return _RIFF_TYPES.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    return None


def _by_atom(data: bytes) -> str | None:
    """The QuickTime family, which names its first atom after the size."""
    if data[4:8] not in _QUICKTIME_ATOMS:
        return None
    main = data[8:12] if data[4:8] == b"ftyp" else b""
    if main not in _PICTURE_FAMILY:
        return _PICTURE_BRANDS.get(main, "mp4")
    end = min(int.from_bytes(data[:4], "big"), _TEXT_PROBE)
    brands = (data[place : place + 4] for place in range(16, end, 4))
    return next((_PICTURE_BRANDS[brand] for brand in brands if brand in _PICTURE_BRANDS), "heif")


def ts_packets(data: bytes) -> tuple[int, int] | None:
    """How an MPEG transport stream is laid out, in packets that each open with the same byte.

    Args:
        data: The file's bytes.

    Returns:
        Where in a packet that byte stands, and the length of a packet; None where it is no such
        stream.
    """
    for start, step in _TS_PACKETS:
        syncs = data[start : start + step * _TS_PROBE : step]
        if len(syncs) > 1 and syncs == TS_SYNC * len(syncs):
            return start, step
    return None


def _by_packets(data: bytes) -> str | None:
    """MPEG transport streams."""
    return None if ts_packets(data) is None else "mpegts"


def _zeros_end(data: bytes, start: int) -> int:
    """Where zeros that begin at a place end."""
    return len(data) - len(data[start:].lstrip(b"\x00"))


def _by_text(data: bytes) -> str:
    """Text by its first characters, or `binary`."""
    probe = data[:_TEXT_PROBE].removeprefix(b"\xef\xbb\xbf").lstrip()
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in probe):
        return "binary"
    if probe[:1] in (b"[", b"{"):
        return "json"
    if probe[:1] == b"<":
        return "html"
    # A cut through a multi-byte character at the end of the probe is no reason to refuse.
    return "csv" if not probe or probe.decode("utf-8", errors="ignore") else "binary"
