"""All checks and header readers that a file of some format passes on its way to a decoder.

What holds of their results is asserted too. Does not decode films and sounds.
"""

import base64
from dataclasses import replace

from anymal.media.amr import whole_frames
from anymal.media.complete import check_complete, check_joined
from anymal.media.container import open_container
from anymal.media.formats import FILMS, IMAGES, RECORDINGS, SOUNDS, detect
from anymal.media.image import decode_image
from anymal.media.imu import decode_imu
from anymal.media.mpeg_audio import cut_frame
from anymal.media.ogg import is_vorbis_or_opus, links
from anymal.media.riff import is_mpeg, with_true_sizes
from anymal.media.soft_token_file import unpack
from anymal.media.source import Source
from tests.anymal.media.fuzz.child import LIMITS

WIDTH = 8


def check(data: bytes) -> str:
    """Checks a file; what is no medium is taken for soft tokens.

    Returns:
        Its format.
    """
    found = detect(data)
    source = Source(name="file", data=data)
    if found.key in IMAGES:
        decode_image(source, LIMITS)
    elif found.key in RECORDINGS:
        decode_imu(source, LIMITS, rate_hz=None if len(data) % 2 else 50.0)
    elif found.key in SOUNDS:
        _check_sound(source, found.key, found.start)
    elif found.key in FILMS:
        _open(source, found.key)
    else:
        unpack(base64.b64encode(data).decode(), width=WIDTH, limits=LIMITS)
    return found.key


def _check_sound(source: Source, key: str, start: int) -> None:
    if key in ("mp3", "aac"):
        place = cut_frame(source.data)
        assert place is None or start <= place < len(source.data)
    source = replace(source, data=source.data[start:] or source.data)
    if key in ("wav", "aiff"):
        whole = with_true_sizes(source, key)
        is_mpeg(whole)
        assert with_true_sizes(replace(source, data=whole), key) == whole
    elif key == "ogg":
        _check_links(source)
    elif key == "amr":
        source = whole_frames(source)
        assert whole_frames(source) == source
    if key not in ("wav", "aiff"):
        _open(source, key)


def _check_links(source: Source) -> None:
    found = list(links(source))
    assert sum(len(link.data) for link in found) <= len(source.data)
    for link in found:
        is_vorbis_or_opus(link.data)
        check_complete(link, "ogg")


def _open(source: Source, key: str) -> None:
    check_complete(source, key)
    check_joined(source, key)
    with open_container(source, key, LIMITS):
        pass
