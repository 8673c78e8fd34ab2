"""JPEG files that end without an end marker, which some cameras leave out.

This decodes nothing: it prepares two files, whose pictures tell whether the last pixel was there.
"""

import re

_END = b"\xff\xd9"
# A marker, the length of what follows, and one to four components.
_SCAN = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]")
# Bits that no decoder takes for the zeros with which it fills up what is missing.
_NOISE = bytes((0xA5, 0x5A)) * 64


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
