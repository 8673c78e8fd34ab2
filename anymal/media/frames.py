"""Pictures to a film without loss: for data sets that keep a video as a list of its frames.

Does not choose frames; `video` does, when the film is decoded.
"""

import io
from collections.abc import Sequence
from typing import Any

import av
from av.video.frame import VideoFrame

from anymal.errors import DataError
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.source import Source

FRAMES_PER_SECOND = 1  # a list tells no times
_CODEC, _PIXELS = "ffv1", "bgr0"  # keeps every value of red, green and blue


def film_of(frames: Sequence[Source], limits: Limits) -> bytes:
    """Joins pictures to a film in which each is shown for a second.

    Args:
        frames: At least one picture; all of one size, upright.
        limits: How many bytes and pixels each may have.

    Returns:
        A Matroska file.

    Raises:
        MediaError: One of them is no picture, broken or too large.
        DataError: Two differ in size.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        # NOTE: PyAV's types do not know that this codec is one of pictures.
        stream: Any = container.add_stream(_CODEC, rate=FRAMES_PER_SECOND)
        stream.pix_fmt = _PIXELS
        size = None
        for source in frames:
            pixels = decode_image(source, limits).pixels
            if size is None:
                size = pixels.shape
                stream.height, stream.width = size[:2]
            if pixels.shape != size:
                raise DataError(
                    f"{source.name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, and the "
                    f"frame before it {size[1]} x {size[0]}; the frames of a video have one size"
                )
            container.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
