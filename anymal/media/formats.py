"""Which format some bytes are, told from their first bytes.

It trusts no file name and no declared type, and it decodes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass

from anymal.errors import MediaEmpty, MediaUnsupported
from anymal.media.source import Source

IMAGES = ("jpeg", "png", "webp", "gif", "bmp", "tiff")
FILMS = ("mp4", "matroska", "avi", "gif")
SOUNDS = ("wav", "flac", "ogg", "mp3", "aiff", "mp4", "aac", "matroska", "avi")
RECORDINGS = ("csv", "json", "npy", "npz", "parquet")

ACCEPTED_IMAGES = "JPEG, PNG, WebP, GIF, BMP or TIFF"
ACCEPTED_FILMS = f"MP4, MOV, WebM, MKV, AVI or GIF, or a still image ({ACCEPTED_IMAGES})"
ACCEPTED_SOUNDS = (
    "WAV, FLAC, OGG, MP3, AIFF, M4A, AAC, or the sound of an MP4, MOV, WebM, MKV or AVI"
)
ACCEPTED_RECORDINGS = "CSV or JSON saved as UTF-8, a ZIP of those, NPY, NPZ or Parquet"

_LABELS = {
    "jpeg": "a JPEG image",
    "png": "a PNG image",
    "webp": "a WebP image",
    "gif": "a GIF",
    "bmp": "a BMP image",
    "tiff": "a TIFF image",
    "heif": "a HEIC or AVIF image",
    "mp4": "an MP4, MOV or M4A file",
    "matroska": "a WebM or MKV file",
    "avi": "an AVI film",
    "wav": "a WAV sound",
    "flac": "a FLAC sound",
    "ogg": "an OGG sound",
    "mp3": "an MP3 sound",
    "aac": "an AAC sound",
    "aiff": "an AIFF sound",
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
    (b"ID3", "mp3"),
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
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_QUICKTIME_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TEXT_PROBE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format's key and how to name it in a sentence."""

    key: str
    label: str


def detect(data: bytes) -> Format:
    """Tells the format of a file from its first bytes.

    Args:
        data: The file's bytes, or at least the first few thousand.

    Returns:
        The format; `binary` where nothing is recognised, `csv` for any other text.
    """
    key = _by_prefix(data) or _by_riff(data) or _by_atom(data) or _by_sync(data) or _by_text(data)
    return Format(key=key, label=_LABELS[key])


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
    if data[:4] == b"RIFF":
        return _RIFF_TYPES.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    return None


def _by_atom(data: bytes) -> str | None:
    """The QuickTime family, which names its first atom after the size."""
    if data[4:8] not in _QUICKTIME_ATOMS:
        return None
    return "heif" if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS else "mp4"


def _by_sync(data: bytes) -> str | None:
    """MPEG audio without a header, told by the sync bits and the layer of its first frame."""
    if len(data) < 2 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    layer = data[1] >> 1 & 0b11
    return "mp3" if layer else "aac" if data[1] & 0xF0 == 0xF0 else None


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
