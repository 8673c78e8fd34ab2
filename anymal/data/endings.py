"""Endings of file names: which modality a file is of, and what to call one whose format is known.

Does not open files.
"""

from pathlib import PurePosixPath

_IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "avif", "ppm")
_VIDEOS = ("mp4", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "m4v", "3gp", "ts", "ogv")
_SOUNDS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "aiff", "amr", "caf")
_RECORDINGS = ("csv", "npy", "npz", "parquet")
_BY_ENDING = {
    ending: modality
    for modality, endings in {
        "image": _IMAGES,
        "video": _VIDEOS,
        "audio": _SOUNDS,
        "imu": _RECORDINGS,
    }.items()
    for ending in endings
}
# Formats, as anymal.media.formats calls them, whose files are usually called otherwise.
_USUAL = {"jpeg": "jpg", "matroska": "mkv", "mpegts": "ts", "heif": "heic"}


def modality_of_name(name: str) -> str | None:
    """The modality that the ending of a name says; None where it says none."""
    return _BY_ENDING.get(PurePosixPath(name).suffix.removeprefix(".").lower())


def ending_of_format(key: str) -> str:
    """The usual ending, with its dot, of files of a format."""
    return f".{_USUAL.get(key, key)}"
