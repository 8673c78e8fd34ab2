"""Which sizes of pictures and frames are accepted."""

from anymal.errors import MediaCorrupt, MediaTooLarge
from anymal.media.limits import Limits


def check_size(name: str, width: int, height: int, limits: Limits) -> None:
    """Refuses a picture or a frame that is too large or too thin.

    Args:
        name: The file's name, for the error.
        width: Pixels in a row.
        height: Rows.
        limits: How many pixels, and what aspect ratio, are accepted.

    Raises:
        MediaCorrupt: A side is zero.
        MediaTooLarge: Beyond the limits.
    """
    found = f"{width} x {height} pixels"
    if min(width, height) < 1:
        raise MediaCorrupt(name, found, "at least 1 x 1 pixels")
    too_thin = max(width, height) / min(width, height) > limits.max_aspect_ratio
    if width * height > limits.max_pixels or too_thin:
        raise MediaTooLarge(name, found, most_pixels(limits))


def most_pixels(limits: Limits) -> str:
    """The limits on a picture, in words.

    Args:
        limits: The limits.

    Returns:
        What an error says is accepted.
    """
    return (
        f"at most {limits.max_pixels:,} pixels, "
        f"one side at most {limits.max_aspect_ratio:g} times the other"
    )
