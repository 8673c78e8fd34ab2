"""Where media comes from: bytes, a file object, a path, a data URL; never the network.

It reads no more than the limits allow and looks at no content.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from anymal.errors import (
    MediaCorrupt,
    MediaForbidden,
    MediaNotFound,
    MediaTooLarge,
    MediaUnsupported,
)
from anymal.media.limits import Limits

_NAME_LENGTH = 80
_PIECE_CHARACTERS = 4 * 2**20  # of base64; a multiple of four
_WHITE_SPACE = b" \t\r\n\v\f"
_ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
# What writers of URLs put for base64's letters, and for the white space in it.
_PERCENT = {
    "%2B": "+",
    "%2F": "/",
    "%3D": "=",
    "%2D": "-",
    "%5F": "_",
    "%0A": "",
    "%0D": "",
    "%20": "",
}
_DATA = "data:"
_OBJECT = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")  # what Python writes of an object in memory
_WAYS = "bytes, a file object, a pathlib.Path, or a base64 data URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file in memory.

    Attributes:
        name: What errors call it.
        data: Its bytes.
    """

    name: str
    data: bytes = field(repr=False)


def read_source(
    ref: str | bytes | Path | BinaryIO,
    *,
    limits: Limits,
    base_dir: Path | None = None,
    name: str | None = None,
) -> Source:
    """Reads one file whole.

    Args:
        ref: Bytes, an open binary file, a `Path`, or text. Text is a data URL or, only where
            `base_dir` is given, a path inside that folder. A `Path` is the caller's own word and
            is read as it is, relative to `base_dir` where there is one.
        limits: How many bytes are accepted.
        base_dir: The folder that text paths are relative to and may not leave.
        name: What errors call the file; by default the path, or what kind of reference it was.

    Returns:
        The file's name and bytes.

    Raises:
        MediaNotFound: No such file, or not a readable file.
        MediaForbidden: A remote URL, or a path that is not allowed.
        MediaTooLarge: More bytes than accepted.
        MediaCorrupt: A data URL that is not valid base64.
        MediaUnsupported: A reference of another type.
    """
    if isinstance(ref, str):
        return _read_text(ref, limits, base_dir, name)
    if isinstance(ref, Path):
        path = ref if base_dir is None else base_dir / ref
        return _read_path(path, limits, name or _shorten_path(str(ref)))
    if isinstance(ref, bytes | bytearray | memoryview):
        return _checked(name or "bytes", bytes(ref), limits)
    if callable(getattr(ref, "read", None)):
        return _read_file(ref, limits, name)
    raise MediaUnsupported(name or "media", f"a {type(ref).__name__}", _WAYS)


def read_base64(text: str, *, limits: Limits, name: str) -> Source:
    """Decodes base64 text, as `input_audio` and `input_imu` carry it.

    Args:
        text: Base64 of either alphabet, its padding and white space as they may be; or a data URL.
        limits: How many bytes are accepted.
        name: What errors call the file.

    Returns:
        The name and the decoded bytes.

    Raises:
        MediaTooLarge: More bytes than accepted.
        MediaCorrupt: Not valid base64.
    """
    if text[: len(_DATA)].lower() == _DATA:
        return _read_data_url(text[len(_DATA) :], limits, name)
    return _decoded(text, limits, name)


def shorten(text: str) -> str:
    """Cuts a name that would drown the message around it."""
    return text if len(text) <= _NAME_LENGTH else f"{text[:_NAME_LENGTH]}..."


def reason(error: BaseException) -> str:
    """What a library's error says, on one short line."""
    text = getattr(error, "strerror", None) or str(error)
    text = _OBJECT.sub("the file", text)
    return shorten(" ".join(text.split())) or type(error).__name__


def _shorten_path(path: str) -> str:
    """Cuts a long path from the left: its end tells which file it is."""
    return path if len(path) <= _NAME_LENGTH else f"...{path[-_NAME_LENGTH:]}"


def _read_text(ref: str, limits: Limits, base_dir: Path | None, name: str | None) -> Source:
    """A data URL, or a path where paths are allowed."""
    scheme, colon, rest = ref.partition(":")
    scheme = scheme.strip().lower() if colon else ""
    if scheme == "data":
        return _read_data_url(rest, limits, name)
    label = name or shorten(ref)
    if scheme in ("http", "https"):
        raise MediaForbidden(
            label,
            "a remote URL, and remote media is off",
            "a base64 data URL; send the file itself",
        )
    if "://" in ref:
        raise MediaForbidden(label, f"a {scheme} URL", "a base64 data URL")
    if base_dir is None:
        raise MediaForbidden(label, "text that is not a data URL", "a base64 data URL")
    label = name or _shorten_path(ref)
    return _read_path(_inside(ref, base_dir, label), limits, label)


def _read_data_url(rest: str, limits: Limits, name: str | None) -> Source:
    """What follows `data:`; only base64 is accepted."""
    header, comma, payload = rest.partition(",")
    media_type, *options = header.split(";")
    own_name = next((each[5:] for each in options if each[:5].lower() == "name="), "")
    label = name or shorten(unquote(own_name)) or f"data URL ({shorten(media_type) or 'no type'})"
    if not comma or "base64" not in (option.strip().lower() for option in options):
        raise MediaUnsupported(
            label, "a data URL that is not base64", "data:<type>;base64,<base64 text>"
        )
    return _decoded(payload, limits, label)


def _decoded(text: str, limits: Limits, label: str) -> Source:
    """Base64 of any dialect: URLs write `-_` for `+/`, or percent signs; padding may be missing."""
    _check_size(label, len(text) * 3 // 4 - 2, limits)
    if "%" in text:
        for code, letter in _PERCENT.items():
            text = text.replace(code, letter).replace(code.lower(), letter)
    try:
        # Piece by piece, because each step holds the interpreter; in one go, however many spaces.
        letters = bytearray()
        for start in range(0, len(text), _PIECE_CHARACTERS):
            piece = text[start : start + _PIECE_CHARACTERS].encode("ascii")
            letters += piece.translate(_ONE_ALPHABET, _WHITE_SPACE)
        del letters[len(letters.rstrip(b"=")) :]
        data = b"".join(_decoded_pieces(letters + b"=" * (-len(letters) % 4)))
    except (binascii.Error, ValueError) as error:
        raise MediaCorrupt(
            label, f"invalid base64 ({reason(error)})", "base64 of either alphabet"
        ) from error
    return _checked(label, data, limits)


def _decoded_pieces(letters: bytearray) -> Iterator[bytes]:
    """Decode base64 of one alphabet, without white space and with its padding."""
    for start in range(0, len(letters), _PIECE_CHARACTERS):
        yield base64.b64decode(letters[start : start + _PIECE_CHARACTERS], validate=True)


def _inside(ref: str, base_dir: Path, label: str) -> Path:
    """The path, links followed, if it stays in its folder."""
    try:
        root = base_dir.resolve()
        path = (root / ref).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise MediaNotFound(label, "a path that cannot be followed", "a file") from error
    if not path.is_relative_to(root):
        raise MediaForbidden(label, "a path that leaves its folder", f"a file inside {base_dir}")
    return path


def _read_path(path: Path, limits: Limits, label: str) -> Source:
    """A regular file; devices and pipes could run without end."""
    try:
        if not path.exists():
            raise MediaNotFound(label, "no such file", "an existing file")
        if not path.is_file():
            raise MediaNotFound(label, "a folder or a device", "a file")
        _check_size(label, path.stat().st_size, limits)
        with path.open("rb") as file:
            return _read_file(file, limits, label)
    except (OSError, ValueError) as error:
        if isinstance(error, MediaNotFound | MediaTooLarge):
            raise
        raise MediaNotFound(
            label, f"a file that cannot be read ({reason(error)})", "a file"
        ) from error


def _read_file(file: BinaryIO, limits: Limits, name: str | None) -> Source:
    """An open file, one byte past the limit at most."""
    own_name = getattr(file, "name", None)
    label = name or (_shorten_path(own_name) if isinstance(own_name, str) else "file object")
    data = file.read(limits.max_bytes + 1)
    if not isinstance(data, bytes):
        raise MediaUnsupported(label, "a file opened as text", 'a file opened with mode "rb"')
    return _checked(label, data, limits)


def _checked(name: str, data: bytes, limits: Limits) -> Source:
    """The source, if it is within the limit."""
    _check_size(name, len(data), limits)
    return Source(name=name, data=data)


def _check_size(name: str, num_bytes: int, limits: Limits) -> None:
    """Refuses more bytes than accepted."""
    if num_bytes > limits.max_bytes:
        raise MediaTooLarge(
            name, f"{num_bytes:,} bytes or more", f"at most {limits.max_bytes:,} bytes"
        )
