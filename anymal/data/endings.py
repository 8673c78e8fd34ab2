"""Endings of file names: which modality and format they promise, and what to call a file.

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
# Endings of the formats that `anymal.media.formats` tells apart, the usual one first.
_OF_FORMAT = {
    "jpeg": "jpg jpeg jpe jfif",
    "png": "png apng",
    "webp": "webp",
    "gif": "gif",
    "bmp": "bmp dib",
    "tiff": "tiff tif",
    "heif": "heic heif",
    "avif": "avif",
    "mp4": "mp4 m4v m4a mov qt 3gp 3g2",
    "matroska": "mkv webm mka",
    "avi": "avi",
    "mpegts": "ts mts m2ts",
    "mpg": "mpg mpeg vob",
    "wav": "wav wave",
    "flac": "flac",
    "ogg": "ogg oga ogv opus spx",
    "mp3": "mp3",
    "aac": "aac",
    "aiff": "aiff aif aifc",
    "amr": "amr",
    "caf": "caf",
    "npy": "npy",
    "npz": "npz zip",
    "parquet": "parquet",
    "json": "json",
    "csv": "csv tsv txt",
}
_FORMAT_OF = {ending: key for key, endings in _OF_FORMAT.items() for ending in endings.split()}


def modality_of_name(name: str) -> str | None:
    """The modality that the ending of a name says; None where it says none."""
    return _BY_ENDING.get(PurePosixPath(name).suffix.removeprefix(".").lower())


def ending_of_format(key: str) -> str:
    """The usual ending, with its dot, of files of a format."""
    return f".{_OF_FORMAT.get(key, key).split()[0]}"


def format_of_ending(ending: str) -> str | None:
    """The format that an ending, with its dot, promises; None where it promises none."""
    return _FORMAT_OF.get(ending.lower().removeprefix("."))
