"""Sound files, and the sound of films, to one channel at their own rate.

Each is read to the end of its bytes: what a header says about the length is only compared. It does
not resample: the encoders' preprocessing asks `encoders.resample` for the rate it needs.

Shapes: N samples, C channels.
"""

import io
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import av
import numpy as np
import soundfile
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaError, MediaUnsupported
from anymal.media.amr import whole_frames
from anymal.media.channels import Block, check_samples, mix
from anymal.media.complete import check_complete
from anymal.media.container import (
    GUESSED,
    check_seconds,
    decoder_options,
    open_container,
    packets_of,
)
from anymal.media.formats import ACCEPTED_SOUNDS, SOUNDS, detect, require
from anymal.media.limits import Limits
from anymal.media.mpeg_audio import cut_frame, id3_length
from anymal.media.ogg import is_vorbis_or_opus, links
from anymal.media.riff import is_mpeg, with_true_sizes
from anymal.media.source import Source, reason, shorten
from encoders.signals import Audio

logger = logging.getLogger(__name__)

# Values decoded at a time.
_BLOCK = 2**20
# NOTE: FFmpeg's own AMR decoders cannot read the pauses that phones leave out (DTX).
_DECODERS = {"amrnb": "libopencore_amrnb", "amrwb": "libopencore_amrwb"}
# Formats of frames in a row, which can be read on behind a tag or a frame that is broken; and how
# many broken ones, or what share of all, may be among them.
_IN_FRAMES = ("mp3", "aac")
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_FEW_BROKEN = 2
_BROKEN_SHARE = 0.1


def decode_audio(source: Source, limits: Limits, format: str | None = None) -> Audio:
    """Decodes a sound: channels averaged to one, at the file's own rate, clipped to [-1, 1].

    Args:
        source: A sound, or a film with sound; its bytes tell which.
        limits: How many seconds are accepted; checked on the header where it tells them, and
            again while decoding.
        format: What the caller says it is, e.g. "wav": a hint, named where the bytes tell nothing.

    Returns:
        The sound.

    Raises:
        MediaError: Not a sound, without one, broken, cut short, or too long.
    """
    found = detect(source.data)
    if found.key == "binary" and format is not None:
        raise MediaUnsupported(
            source.name, f"{found.label}, declared as {shorten(format)!r}", ACCEPTED_SOUNDS
        )
    key = require(source, SOUNDS, ACCEPTED_SOUNDS)
    # Tags in front that nothing follows are left for the error to name.
    whole = replace(source, data=source.data[found.start :] or source.data)
    if key in _IN_FRAMES and source.data[id3_length(source.data) : found.start].strip(b"\x00"):
        whole = _recorded(whole)
    return mix(_blocks(whole, key, limits), source.name, limits)


def _recorded(source: Source) -> Source:
    """What was cut out of a broadcast, and so began within a frame, may end within one."""
    place = cut_frame(source.data)
    if place is None:
        return source
    logger.warning("%s: the last frame is cut, as the first was; it is left out", source.name)
    return replace(source, data=source.data[:place])


def read_track(container: InputContainer, name: str, limits: Limits) -> Audio | None:
    """Decodes the first sound track of an open container that can be decoded.

    Args:
        container: An open film or sound, not yet read from.
        name: The file's name, for errors.
        limits: How many seconds are accepted.

    Returns:
        The sound, or None where there is no track.

    Raises:
        MediaError: The track is broken, empty, or too long.
    """
    stream = _first_track(container, name)
    return None if stream is None else mix(_track(container, stream, name, limits), name, limits)


def _blocks(source: Source, key: str, limits: Limits) -> Iterator[Block]:
    """A sound of any format, block by block."""
    if key in ("wav", "aiff"):
        rewritten = replace(source, data=with_true_sizes(source, key))
        read = _by_ffmpeg if is_mpeg(rewritten.data) else _by_soundfile
        yield from read(rewritten, key, limits)
    elif key == "ogg":
        for link in links(source):
            read = _by_soundfile if is_vorbis_or_opus(link.data) else _by_ffmpeg
            yield from read(link, key, limits)
    elif key == "amr":
        yield from _by_ffmpeg(whole_frames(source), key, limits)
    else:
        yield from _by_ffmpeg(source, key, limits)


def _by_soundfile(source: Source, key: str, limits: Limits) -> Iterator[Block]:
    """The formats that libsndfile reads to the end, given sizes that are true."""
    check_complete(source, key)
    num_samples = 0
    try:
        with soundfile.SoundFile(io.BytesIO(source.data)) as file:
            promised = file.frames
            check_seconds(source.name, promised / max(1, file.samplerate), limits)
            check_samples(source.name, promised, promised * file.channels, limits)
            num_frames = max(1, _BLOCK // file.channels)
            while len(block := file.read(num_frames, dtype="float32", always_2d=True)):
                num_samples += len(block)
                yield file.samplerate, block.T
    except MediaError:
        raise
    except soundfile.LibsndfileError as error:
        # Its message would begin with the address of the bytes.
        raise _broken(source, error.error_string) from error
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError, OSError) as error:
        raise _broken(source, reason(error)) from error
    if num_samples < promised:
        found = f"{num_samples:,} of {promised:,} samples"
        raise MediaCorrupt(source.name, found, "a complete file")


def _broken(source: Source, why: str) -> MediaCorrupt:
    """The error for bytes that a decoder refuses."""
    found = f"{detect(source.data).label} that is broken or truncated ({why})"
    return MediaCorrupt(source.name, found, "a complete file")


def _by_ffmpeg(source: Source, key: str, limits: Limits) -> Iterator[Block]:
    """The formats that FFmpeg reads, and the sound of films."""
    with open_container(source, key, limits) as container:
        stream = _first_track(container, source.name)
        if stream is None:
            raise MediaUnsupported(source.name, "a film without sound", ACCEPTED_SOUNDS)
        yield from _track(container, stream, source.name, limits)


def _first_track(container: InputContainer, name: str) -> AudioStream | None:
    """The first sound track that can be decoded; None where there is no track at all."""
    tracks = container.streams.audio
    for place, stream in enumerate(tracks):
        # NOTE: PyAV leaves this empty where FFmpeg has no decoder, whatever its types say.
        if getattr(stream, "codec_context", None) is not None:
            if place:
                logger.warning("%s: %d sound tracks in unknown codecs are skipped", name, place)
            return stream
    if tracks:
        raise MediaUnsupported(name, "a sound in an unknown codec", "a common codec, e.g. AAC")
    return None


def _track(
    container: InputContainer, stream: AudioStream, name: str, limits: Limits
) -> Iterator[Block]:
    """A track to its end, block by block."""
    decoder = _decoder(stream)
    decoder.options = decoder_options(limits)
    seconds, num_packets, num_broken = 0.0, 0, 0
    for packet in packets_of(container, stream, name, limits):
        num_packets += 1
        try:
            frames = decoder.decode(packet)
        except av.error.InvalidDataError:
            if container.format.name not in _IN_FRAMES:
                raise
            num_broken += not bytes(packet).startswith(_TAGS)
            continue
        for frame in frames:
            if frame.sample_rate:
                seconds += frame.samples / frame.sample_rate
            yield frame.sample_rate, _rows(frame)
    if num_broken:
        if not seconds or num_broken > max(_FEW_BROKEN, _BROKEN_SHARE * num_packets):
            found = f"{num_broken:,} broken pieces of {num_packets:,}"
            raise MediaCorrupt(name, found, "a sound that is whole")
        logger.warning("%s: %d pieces that are no sound are left out", name, num_broken)
    _check_length(container, stream, name, seconds)


def _decoder(stream: AudioStream) -> AudioCodecContext:
    """The decoder of a track: FFmpeg's choice, or one that reads more."""
    name = _DECODERS.get(stream.codec_context.name)
    if name is None or name not in av.codecs_available:
        return stream.codec_context
    return cast(AudioCodecContext, av.CodecContext.create(name, "r"))


def _rows(frame: av.AudioFrame) -> NDArray[np.float32]:
    """A decoded frame of any number type as [C, N] between -1 and 1."""
    samples: NDArray[Any] = frame.to_ndarray()
    rows = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
    if rows.dtype.kind == "f":
        return np.asarray(rows, dtype=np.float32)
    # Unsigned bytes are centred at 128, signed types at 0.
    middle = 128 if rows.dtype == np.uint8 else 0
    scale = 2.0 ** (8 * rows.dtype.itemsize - 1)
    return np.asarray((rows.astype(np.float32) - middle) / scale, dtype=np.float32)


def _check_length(
    container: InputContainer, stream: AudioStream, name: str, seconds: float
) -> None:
    """Refuses a track that ends before its header says, where the header states it."""
    promised_s = float((stream.duration or 0) * (stream.time_base or 0))
    # Encoders pad and trim by a few frames; more than that is missing. FLAC loses nothing.
    least_s = promised_s - 1e-6 if container.format.name == "flac" else 0.95 * promised_s - 0.25
    if container.format.name not in GUESSED and seconds < least_s:
        found = f"{seconds:.4f} of {promised_s:.4f} seconds of sound"
        raise MediaCorrupt(name, found, "a complete file")
