"""The one table of modalities: which parts of a message carry them, and how they are decoded.

Does not preprocess signals (each encoder does) and lists no encoders or aligners.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymal.media.audio import decode_audio
from anymal.media.image import decode_image
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source, read_base64, read_source
from anymal.media.video import decode_video
from anymal.protocol.conversation import MediaPart
from encoders.signals import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """What a part brought: a file in memory, or rows of numbers.

    Attributes:
        source: The file; None where the part held rows.
        samples: The rows; None where the part held a file.
        options: What else the part declared, such as format, rate and units.
    """

    source: Source | None
    samples: Sequence[Sequence[float]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What errors call it."""
        return "input_imu" if self.source is None else self.source.name

    @property
    def digest(self) -> str:
        """SHA-256 of the content; of the declared options too, where there are any."""
        content = json.dumps(self.samples).encode() if self.source is None else self.source.data
        digest = hashlib.sha256(content)
        if self.options:
            digest.update(json.dumps(self.options, sort_keys=True).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """One row of the table.

    Attributes:
        name: Its key.
        part_types: Types of message parts that carry it.
        decode: From a medium, under limits, to a signal; takes the hints as keywords.
        hints: Attributes of the encoder's preprocessor that decoding wants to know.
    """

    name: str
    part_types: tuple[str, ...]
    decode: Callable[..., Signal]
    hints: tuple[str, ...] = ()


def read_medium(part: MediaPart, *, limits: Limits, base_dir: Path | None) -> Medium:
    """Bring the medium of a part into memory.

    Args:
        part: A validated part.
        limits: How many bytes are accepted.
        base_dir: Folder that paths are relative to and may not leave; None refuses paths.

    Returns:
        The undecoded medium.

    Raises:
        MediaError: It cannot be read.
    """
    body = getattr(part, part.type)
    content = {"url", "data", "samples", "detail"}
    options = body.model_dump(exclude=content, exclude_none=True)
    if (url := getattr(body, "url", None)) is not None:
        source = read_source(url, limits=limits, base_dir=base_dir)
        return Medium(source=source, options=options)
    if (data := getattr(body, "data", None)) is not None:
        source = read_base64(data, limits=limits, name=f"{part.type}.data")
        return Medium(source=source, options=options)
    return Medium(source=None, samples=body.samples, options=options)


def decode_medium(medium: Medium, preprocessor: object, *, modality: str, limits: Limits) -> Signal:
    """Decode a medium as an encoder wants it.

    Args:
        medium: From `read_medium`.
        preprocessor: The encoder's; its attributes are the hints.
        modality: Name of the row that decodes.
        limits: How much the medium may hold.

    Returns:
        The signal.

    Raises:
        MediaError: It cannot be decoded.
    """
    row = MODALITIES[modality]
    hints = {hint: getattr(preprocessor, hint) for hint in row.hints}
    return row.decode(medium, limits, **hints)


def _decode_image(medium: Medium, limits: Limits) -> Signal:
    """An image file."""
    return decode_image(_file(medium), limits)


def _decode_video(medium: Medium, limits: Limits, *, num_frames: int) -> Signal:
    """As many frames of a video file as its encoder wants."""
    return decode_video(_file(medium), limits, num_frames=num_frames)


def _decode_audio(medium: Medium, limits: Limits) -> Signal:
    """A sound file, its format declared or found."""
    return decode_audio(_file(medium), limits, **medium.options)


def _decode_imu(medium: Medium, limits: Limits) -> Signal:
    """A motion recording, as a file or as rows."""
    given = medium.samples if medium.source is None else medium.source
    return decode_imu(given, limits, **medium.options)


def _file(medium: Medium) -> Source:
    """The file of a medium that can only be a file."""
    assert medium.source is not None, "only input_imu may hold samples"
    return medium.source


MODALITIES: dict[str, Modality] = {
    row.name: row
    for row in (
        Modality(name="image", part_types=("image_url",), decode=_decode_image),
        Modality(
            name="video", part_types=("video_url",), decode=_decode_video, hints=("num_frames",)
        ),
        Modality(name="audio", part_types=("input_audio", "audio_url"), decode=_decode_audio),
        Modality(name="imu", part_types=("input_imu",), decode=_decode_imu),
    )
}
