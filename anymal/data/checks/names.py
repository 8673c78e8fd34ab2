"""Files whose content is not what their name says: a PNG that is called .jpg, a page called .mp4.

Decoders look at the content alone, so such a file may train well here and fail elsewhere. Does not
judge whether a file is whole.
"""

from pathlib import PurePosixPath

from anymal.data.checks.mistake import Mistake
from anymal.media.formats import detect
from anymal.media.source import Source

# Endings by what `anymal.media.formats.detect` calls the content.
_ENDINGS = {
    "jpeg": "jpg jpeg jpe jfif",
    "png": "png apng",
    "webp": "webp",
    "gif": "gif",
    "bmp": "bmp dib",
    "tiff": "tif tiff",
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
    "aiff": "aif aiff aifc",
    "amr": "amr",
    "caf": "caf",
    "npy": "npy",
    "npz": "npz zip",
    "parquet": "parquet",
    "json": "json",
    "csv": "csv tsv txt",
}
_KEY_OF = {ending: key for key, endings in _ENDINGS.items() for ending in endings.split()}


def name_mistake(source: Source) -> Mistake | None:
    """Compare the ending of a file's name with its content.

    Args:
        source: The file; a name without a known ending says nothing.

    Returns:
        The mistake; None where they agree.
    """
    ending = PurePosixPath(source.name).suffix.lower().removeprefix(".")
    expected = _KEY_OF.get(ending)
    found = detect(source.data)
    if expected is None or not source.data or found.key == expected:
        return None
    proper = next(iter(_ENDINGS.get(found.key, "").split()), None)
    change = f"name it .{proper}, or convert it" if proper else "put the right file in its place"
    return Mistake(
        kind="misnamed",
        reason=f"{source.name} is named .{ending} and is {found.label}",
        change=change,
    )
