"""What mirrors call the sound files of a data set, since each has its own custom.

Does not look for them.
"""

from pathlib import PurePosixPath

from anymal.errors import DataError

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")


def clip_names(youtube_id: str, start: str) -> list[str]:
    """Names for a clip of a video: with or without its start, in seconds or milliseconds.

    Args:
        youtube_id: Of the video.
        start: Where the clip begins, in seconds.

    Returns:
        As many for each clip.

    Raises:
        DataError: `start` is no number.
    """
    try:
        seconds = float(start)
    except ValueError as error:
        raise DataError(f"{youtube_id}: the clip begins at {start!r}, which is no time") from error
    starts = ("", f"_{seconds:.0f}", f"_{seconds:.3f}", f"_{seconds * 1000:.0f}")
    stems = [f"{mark}{youtube_id}{begin}" for begin in reversed(starts) for mark in ("", "Y")]
    return [stem + ending for stem in stems for ending in ENDINGS]


def converted_names(name: str) -> list[str]:
    """A file's own name, then what it is called when it is kept in another format."""
    stem = PurePosixPath(name).stem
    return [name, *(stem + ending for ending in ENDINGS)]
