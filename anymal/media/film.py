"""A film's packets in decoding order, and when each one's frame is shown.

It decodes nothing.
"""

from dataclasses import dataclass
from itertools import accumulate, compress

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from anymal.errors import MediaCorrupt, MediaEmpty, MediaTooLarge, MediaUnsupported
from anymal.media.container import check_seconds, packets_of
from anymal.media.formats import ACCEPTED_FILMS
from anymal.media.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A film's packets in decoding order, still compressed.

    Attributes:
        name: The file's name, for errors.
        stream: The stream that they belong to; it decodes them.
        packets: One per frame.
        times: When each packet's frame is shown, in units of the stream's time base.
        shown: The times of the frames that are shown, in order.
        keys: Places among the packets where decoding can start.
        end: When the last frame stops being shown.
    """

    name: str
    stream: VideoStream
    packets: "list[av.Packet[VideoStream]]"
    times: list[int]
    shown: list[int]
    keys: list[int]
    end: int

    @property
    def tick_s(self) -> float:
        """Seconds in a unit of the stream's time base."""
        return _tick_s(self.stream)


def read_film(container: InputContainer, name: str, limits: Limits) -> Film:
    """Read all packets of a film, and from them every frame's time.

    Args:
        container: The open film.
        name: What errors call it.
        limits: How many frames and seconds are accepted.

    Returns:
        The film, undecoded.

    Raises:
        MediaCorrupt: It was cut short, or frames have no times.
        MediaEmpty: It has no frames.
        MediaTooLarge: It exceeds a limit.
        MediaUnsupported: It has no picture track that can be decoded, or its times begin again.
    """
    stream = _picture_stream(container, name)
    packets: list[av.Packet[VideoStream]] = []
    for packet in packets_of(container, stream, name, limits):
        if packet.is_corrupt:
            raise MediaCorrupt(
                name, f"a film cut short in frame {len(packets) + 1}", "a whole film"
            )
        if packet.size:
            packets.append(packet)
        if len(packets) > limits.max_frames:
            raise MediaTooLarge(
                name, f"more than {limits.max_frames:,} frames", f"at most {limits.max_frames:,}"
            )
    times = [packet.dts if packet.pts is None else packet.pts for packet in packets]
    return _film(name, stream, packets, [time for time in times if time is not None], limits)


def _film(
    name: str,
    stream: VideoStream,
    packets: "list[av.Packet[VideoStream]]",
    times: list[int],
    limits: Limits,
) -> Film:
    """The film, if every frame has a time and they span an accepted length."""
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    # What an edit list cuts away is still needed to decode what it keeps.
    is_shown = [not packet.is_discard for packet in packets]
    if not any(is_shown) or not keys:
        raise MediaEmpty(name, "a film without frames", "at least one frame")
    if len(times) < len(packets):
        raise MediaCorrupt(name, "frames without times", "a time for each frame")
    latest = list(accumulate(times, max))
    if any(times[key] < latest[key] for key in keys):
        found = "a film whose times begin again, as those of several films joined to one"
        raise MediaUnsupported(name, found, "one film at a time; send them one by one")
    shown = sorted(compress(times, is_shown))
    last = packets[times.index(shown[-1])].duration or 0
    end = shown[-1] + (last or round((shown[-1] - shown[0]) / max(1, len(shown) - 1)))
    check_seconds(name, (end - shown[0]) * _tick_s(stream), limits)
    return Film(
        name=name, stream=stream, packets=packets, times=times, shown=shown, keys=keys, end=end
    )


def _picture_stream(container: InputContainer, name: str) -> VideoStream:
    """The track to show: one marked as default before others, then the largest; no album cover."""
    tracks = [
        track
        for track in container.streams.video
        if not track.disposition & Disposition.attached_pic
    ]
    if not tracks:
        raise MediaUnsupported(name, "a file without moving pictures", ACCEPTED_FILMS)
    # NOTE: PyAV leaves this empty where FFmpeg has no decoder, whatever its types say.
    known = [track for track in tracks if getattr(track, "codec_context", None) is not None]
    if not known:
        raise MediaUnsupported(name, "a film in an unknown codec", "a common codec, e.g. H.264")
    return max(known, key=_rank)


def _rank(track: VideoStream) -> tuple[bool, int]:
    """What makes a track the one to show."""
    return bool(track.disposition & Disposition.default), track.width * track.height


def _tick_s(stream: VideoStream) -> float:
    """Seconds in a unit of the stream's time base."""
    return float(stream.time_base or 0)
