"""Where the frames of MPEG audio (MP3, and AAC as ADTS) begin.

Recorders and radio put tags, zeros, or the rest of a frame in front of them. It reads only the
headers of frames and decodes nothing.
"""

# Bytes that are searched, and frames in a row that are no chance.
_PROBE = 2**16
_NUM_FRAMES = 3
_MAX_TAGS = 100
# Bytes of a header that are read.
_HEAD = 6
_KBPS = {
    # By version 1 or not, and layer.
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def id3_length(data: bytes) -> int:
    """How many bytes of ID3 tags stand in front of a sound.

    Args:
        data: The file's bytes.

    Returns:
        Where the last of them ends, which may be past the end of the data; 0 where there is none.
    """
    end = 0
    for _ in range(_MAX_TAGS):
        if data[end : end + 3] != b"ID3" or len(data) < end + 10:
            break
        # Seven bits of each byte count. A tag may repeat its head as a footer.
        sizes = zip(data[end + 6 : end + 10], (21, 14, 7, 0), strict=True)
        has_footer = data[end + 5] & 0x10
        end += 10 + sum((byte & 0x7F) << shift for byte, shift in sizes) + (10 if has_footer else 0)
    return end


def find_frames(data: bytes) -> tuple[str, int] | None:
    """Finds frames of MPEG audio that follow each other.

    Args:
        data: The file's bytes.

    Returns:
        "mp3" or "aac" and the place of the first frame; None where there are none nearby.
    """
    place = data.find(b"\xff", 0, _PROBE)
    while place >= 0:
        key = sync_key(data, place)
        if key is not None and _in_a_row(data, place, key):
            return key, place
        place = data.find(b"\xff", place + 1, _PROBE)
    return None


def cut_frame(data: bytes) -> int | None:
    """Finds a last frame that does not end within the data.

    Args:
        data: The bytes of a sound in frames; others may stand behind the last.

    Returns:
        The place where it begins; None where the last frame is whole, or no frames are found.
    """
    place = max(0, len(data) - _PROBE)
    while (found := find_frames(data[place:])) is not None:
        key, first = found
        place += first
        kind = _kind(data, place)
        while sync_key(data, place) == key and _kind(data, place) == kind:
            length = _length(data, place, key)
            if place + (length or _HEAD) > len(data):
                return place
            if length is None:
                break
            place += length
        place += 1
    return None


def sync_key(data: bytes, place: int = 0) -> str | None:
    """Tells a frame by its sync bits and its layer.

    Args:
        data: The file's bytes.
        place: Where the frame begins.

    Returns:
        "mp3", "aac", or None where no frame begins.
    """
    if len(data) < place + 2 or data[place] != 0xFF or data[place + 1] & 0xE0 != 0xE0:
        return None
    layer = data[place + 1] >> 1 & 0b11
    return "mp3" if layer else "aac" if data[place + 1] & 0xF0 == 0xF0 else None


def _in_a_row(data: bytes, place: int, key: str) -> bool:
    """Whether as many frames as are no chance begin at a place, each where the last one ends."""
    for _ in range(_NUM_FRAMES):
        length = _length(data, place, key) if sync_key(data, place) == key else None
        if length is None:
            return False
        place += length
    return True


def _kind(data: bytes, place: int) -> tuple[bytes, int]:
    """What the heads of all frames of a sound have in common: version, layer and rate."""
    return data[place : place + 2], data[place + 2] & 0x0C if place + 2 < len(data) else 0


def _length(data: bytes, place: int, key: str) -> int | None:
    """Bytes in the frame at a place; None where the header is not whole, or cannot be one."""
    head = data[place : place + _HEAD]
    if len(head) < _HEAD:
        return None
    return _mp3_length(head) if key == "mp3" else _adts_length(head)


def _mp3_length(head: bytes) -> int | None:
    """Bytes in a frame of layer II or III; None where the header cannot be one."""
    version, layer = head[1] >> 3 & 0b11, 4 - (head[1] >> 1 & 0b11)
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 0b11
    rates_kbps = _KBPS.get((version == 3, layer))
    if rates_kbps is None or version == 1 or bit_rate in (0, 15) or rate == 3:
        return None
    num_bytes_per_bit = 72 if layer == 3 and version != 3 else 144
    padding = head[2] >> 1 & 1
    return num_bytes_per_bit * 1000 * rates_kbps[bit_rate - 1] // _RATES_HZ[version][rate] + padding


def _adts_length(head: bytes) -> int | None:
    """Bytes in a frame of AAC; None where the header cannot be one."""
    length = (head[3] & 0b11) << 11 | head[4] << 3 | head[5] >> 5
    return length if head[2] >> 2 & 0b1111 < 13 and length > 7 else None
