"""Films and still images to a few upright RGB frames, spread evenly over the film's length.

It decodes only the stretches that the chosen frames need. What a frame's colours and shape mean is
decided in `colour` and `display`.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaEmpty, MediaTooLarge
from anymal.media.audio import read_track
from anymal.media.colour import to_rgb
from anymal.media.container import decoder_options, open_container
from anymal.media.display import Size, fitted, shown_size, upright
from anymal.media.film import Film, read_film
from anymal.media.formats import ACCEPTED_FILMS, FILMS, IMAGES, require
from anymal.media.image import decode_image
from anymal.media.image_size import check_size
from anymal.media.limits import Limits
from anymal.media.source import Source
from encoders.signals import Audio, Video

logger = logging.getLogger(__name__)


def decode_video(
    source: Source,
    limits: Limits,
    num_frames: int = 8,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    with_audio: bool = False,
) -> Video:
    """Decodes frames spread evenly over a film, or over a stretch of it, each with its time.

    The length is cut into `num_frames` equal stretches and the frame that is on screen in
    the middle of each is taken; frames are never repeated, so a short film gives fewer. Variable
    frame rates, turns, mirrors, pixels that are not square and HDR are honoured; frames of another
    size than the first are scaled to it; transparency is laid over white.

    Args:
        source: A film, or a still image, which becomes one frame at time 0.
        limits: How many bytes, pixels, frames and seconds are accepted.
        num_frames: How many frames to take at most.
        start_s: Where the stretch begins, in seconds from the first frame; of a still image, both
            ends mean nothing.
        end_s: Where it ends; None, or a time after the film's end, is that end.
        with_audio: Decode the sound track too, all of it.

    Returns:
        The frames, upright; times count from the beginning of the stretch. The first one may be
        on screen before that.

    Raises:
        MediaError: Not a film, without pictures, broken, cut short, too large, or over before the
            stretch begins.
        ValueError: `num_frames` is less than 1.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be 1 or more, got {num_frames}")
    key = require(source, {*FILMS, *IMAGES}, ACCEPTED_FILMS)
    if key not in FILMS:
        return _still(source, limits)
    with open_container(source, key, limits) as container:
        film = read_film(container, source.name, limits)
        _check_frames(film, (film.stream.width, film.stream.height), num_frames, limits)
        film.stream.codec_context.options = decoder_options(limits)
        stretch = _stretch(film, start_s, end_s)
        plan = _plan(film, stretch, num_frames)
        frames, times = _shown(film, plan, num_frames, limits, in_order=key == "avi")
        tick_s = film.tick_s
        return Video(
            frames=frames,
            times_s=(np.array(times, dtype=np.float64) - stretch.start) * tick_s,
            duration_s=len(stretch) * tick_s,
            audio=_sound(source, key, limits) if with_audio else None,
        )


def _still(source: Source, limits: Limits) -> Video:
    """A still image as a film of one frame."""
    pixels = decode_image(source, limits).pixels
    return Video(frames=pixels[None], times_s=np.zeros(1), duration_s=0.0)


def _sound(source: Source, key: str, limits: Limits) -> Audio | None:
    """The sound track; read from a second opening, because the first has read past it."""
    with open_container(source, key, limits) as container:
        return read_track(container, source.name, limits)


def _check_frames(film: Film, size: Size, num_frames: int, limits: Limits) -> Size:
    """The size in which frames are shown, unless it is too large for one of them or for all."""
    if not all(size):
        found = f"frames of no known size, or of more than {limits.max_pixels:,} pixels"
        raise MediaCorrupt(film.name, found, f"at most {limits.max_pixels:,} pixels")
    check_size(film.name, *size, limits)
    width, height = shown_size(size, film.stream.sample_aspect_ratio)
    check_size(film.name, width, height, limits)
    num_taken = min(num_frames, len(film.packets))
    if num_taken * width * height > limits.max_sampled_pixels:
        raise MediaTooLarge(
            film.name,
            f"{num_taken} frames of {width} x {height} pixels",
            f"at most {limits.max_sampled_pixels:,} pixels in all; take fewer frames",
        )
    return width, height


def _stretch(film: Film, start_s: float, end_s: float | None) -> range:
    """A stretch of a film, in units of its time base."""
    first = film.shown[0]
    start = first + round(start_s / film.tick_s) if start_s else first
    end = film.end if end_s is None else min(film.end, first + round(end_s / film.tick_s))
    if start_s and start >= end:
        found = (
            f"{(film.end - first) * film.tick_s:.2f} seconds, of which none is after {start_s:g}"
        )
        raise MediaEmpty(film.name, found, "a stretch inside the film")
    return range(start, end)


def _plan(film: Film, stretch: range, num_frames: int) -> list[int]:
    """The times of the frames on screen in the middle of each part, without repetition."""
    length = len(stretch) / num_frames
    middles = (stretch.start + (place + 0.5) * length for place in range(num_frames))
    return sorted({film.shown[max(0, bisect_right(film.shown, middle) - 1)] for middle in middles})


def _decode(
    film: Film, wanted: Sequence[int], limits: Limits, *, in_order: bool
) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted frames with their times; stretches that none of them needs are skipped."""
    key_times = [film.times[key] for key in film.keys]
    runs: list[tuple[int, list[int]]] = []
    reached = -1
    for time in wanted:
        key = film.keys[max(0, bisect_right(key_times, time) - 1)]
        if not runs or key > reached:
            runs.append((key, []))
        runs[-1][1].append(time)
        reached = film.times.index(time)
    _check_work(film, runs, limits)
    for start, times in runs:
        yield from _decode_run(film, start, times, in_order=in_order)


def _check_work(film: Film, runs: list[tuple[int, list[int]]], limits: Limits) -> None:
    """Refuses stretches that take too long to decode."""
    num_frames = sum(film.times.index(times[-1]) + 1 - start for start, times in runs)
    if num_frames * film.stream.width * film.stream.height > limits.max_decoded_pixels:
        found = f"{num_frames:,} large frames that must be decoded to show a few"
        most = f"at most {limits.max_decoded_pixels:,} pixels in all; cut the film"
        raise MediaTooLarge(film.name, found, most)


def _decode_run(
    film: Film, start: int, wanted: list[int], *, in_order: bool
) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted frames, decoding on from one key frame until the last of them."""
    remaining = list(wanted)
    for time, frame in _decode_from(film, start, in_order=in_order):
        if time < remaining[0]:
            continue
        if frame.is_corrupt:
            break
        yield time, frame
        # A packet may show no frame of its own (VP8); then the next frame stands for it too.
        remaining = [later for later in remaining if later > time]
        if not remaining:
            return
    at = (remaining[0] - film.shown[0]) * film.tick_s
    raise MediaCorrupt(film.name, f"no whole frame at {at:.2f} seconds", "a whole film")


def _decode_from(film: Film, start: int, *, in_order: bool) -> Iterator[tuple[int, VideoFrame]]:
    """Frames from a key frame on, as they come out of the decoder, with their times."""
    codec = film.stream.codec_context
    if codec.is_open:
        codec.flush_buffers()
    count = start
    for packet in (*film.packets[start:], None):
        for frame in codec.decode(packet):
            # NOTE: AVI stores no display times, but its frames come out in order: count them.
            time = film.shown[min(count, len(film.shown) - 1)] if in_order else frame.pts
            count += 1
            if time is not None:
                yield time, frame


def _shown(
    film: Film, plan: Sequence[int], num_frames: int, limits: Limits, *, in_order: bool
) -> tuple[NDArray[np.uint8], list[int]]:
    """The chosen frames as they are to be shown, all in the size of the first, and their times."""
    times: list[int] = []
    frames, matrix = np.empty(0, np.uint8), None
    first = size = (0, 0)
    for time, frame in _decode(film, plan, limits, in_order=in_order):
        stored = (frame.width, frame.height)
        if not times:
            # A header may tell another size than its frames have.
            first, size = stored, _check_frames(film, stored, num_frames, limits)
            matrix = _display_matrix(frame)
            turned = upright(np.empty((1, *size[::-1], 3), np.uint8), matrix)
            frames = np.empty((len(plan), *turned.shape[1:]), np.uint8)
        elif stored != first:
            logger.info("a film's frames change size; scaled to the first, %d x %d", *first)
        shown = shown_size(stored, film.stream.sample_aspect_ratio)
        frames[len(times)] = upright(fitted(to_rgb(frame), shown, size)[None], matrix)[0]
        times.append(time)
    return frames[: len(times)], times


def _display_matrix(frame: VideoFrame) -> bytes | None:
    """How the file says that the frame is to be turned and mirrored."""
    # NOTE: PyAV's types know of motion vectors alone.
    side_data: Any = frame.side_data
    data = side_data.get(Type.DISPLAYMATRIX)
    return None if data is None else bytes(data)
