"""The scans of a JPEG: how many there are, and whether the last one ends with a marker.

Some cameras leave the end marker out. This decodes nothing: it prepares two files, whose pictures
tell whether the last pixel was there.
"""

import re

from anymal.errors import MediaTooLarge
from anymal.media.limits import Limits

_END = b"\xff\xd9"
# A marker, the length of what follows, and one to four components.
_SCAN = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]")
# Tables, tags and words; a profile of 16 MB takes 255.
_MOST_PARTS = 10_000
# Bits that no decoder takes for the zeros with which it fills up what is missing.
_NOISE = bytes((0xA5, 0x5A)) * 64


def check_scans(name: str, data: bytes, limits: Limits) -> None:
    """Refuses a picture of many scans, each a pass over all pixels, or of many parts before them.

    Args:
        name: The file's name, for the error.
        data: A JPEG file; the scans of pictures inside it are counted too.
        limits: How many scans are accepted.

    Raises:
        MediaTooLarge: Beyond the limit.
    """
    num_scans = sum(1 for _ in _SCAN.finditer(data))
    if num_scans > limits.max_scans:
        found = f"a JPEG image of {num_scans:,} scans"
        raise MediaTooLarge(name, found, f"at most {limits.max_scans} scans; save it as baseline")
    place = num_parts = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        num_parts += 1
        if num_parts > _MOST_PARTS:
            found = f"a JPEG image of more than {_MOST_PARTS:,} parts"
            raise MediaTooLarge(name, found, f"at most {_MOST_PARTS:,}; save it without its tags")


def has_end(data: bytes) -> bool:
    """Whether an end marker follows the last scan.

    Args:
        data: A JPEG file.

    Returns:
        False also where bytes behind the end look like a scan: both of `with_ends` then give the
        picture, too.
    """
    last_scan = max((scan.start() for scan in _SCAN.finditer(data)), default=0)
    return data.rfind(_END) > last_scan


def with_ends(data: bytes) -> tuple[bytes, bytes]:
    """Appends an end marker, once as it is and once behind noise.

    Where every pixel is there, no decoder looks at the noise, and both give the same picture.
    Where pixels are missing, the noise is taken for them.

    Args:
        data: A JPEG file without an end marker.

    Returns:
        Two JPEG files.
    """
    # Half an end marker is none.
    whole = data.rstrip(_END[:1])
    return whole + _END, whole + _NOISE + _END
