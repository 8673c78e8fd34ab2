"""The one table of modalities, and those of other packages: their parts and their decoders.

A package adds a modality as an entry point in the group `anymal.modalities` that leads to a
`Modality`. Does not preprocess signals (each encoder does) and lists no encoders or aligners.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymal.errors import ConversationError, DataError
from anymal.media.audio import decode_audio
from anymal.media.image import decode_image
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source, read_base64, read_source
from anymal.media.video import decode_video
from anymal.protocol.conversation import InputMediaPart, MediaPart
from encoders.plugins import PluginError, find
from encoders.signals import Signal

# What is measured of a medium, by modality: the most characters that its words have. A tokeniser
# may need a token for each.
MOST_FACTS = {"audio": 56, "imu": 96, "video": 10}


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
        digest = hashlib.sha256(b"" if self.source is None else self.source.data)
        if self.source is None:  # row by row: all at once would hold the interpreter for long
            for index, row in enumerate(self.samples or ()):
                digest.update(f"{', ' if index else '['}{json.dumps(row)}".encode())
            digest.update(b"]")
        if self.options:
            digest.update(json.dumps(self.options, sort_keys=True).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """One row of the table.

    Attributes:
        name: Its key, or the name of its entry point: small letters, digits and underscores.
        decode: From a medium, under limits, to what the encoder's preprocessor takes; is given the
            hints as keywords. A mistake is a `MediaError`. It may run in another process, so
            that hints and signals must be picklable.
        part_types: Types of message parts that carry it; none for one of another package, which
            `input_media` carries.
        hints: Attributes of the encoder's preprocessor that decoding wants to know.
        noun: What people call one, with its article; empty for `a medium of NAME`.
        blank: A file that says nothing, for dry runs and for the blank medium of an evaluation;
            None for the project's own, whose media are generated.
    """

    name: str
    decode: Callable[..., Any]
    part_types: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    noun: str = ""
    blank: Callable[[], bytes] | None = None

    @property
    def carriers(self) -> tuple[str, ...]:
        """What errors call the parts that carry it."""
        return self.part_types or (f"input_media of {self.name}",)


def find_modality(name: str) -> Modality:
    """Find a modality: a row of the table, or one of another package.

    Args:
        name: A key of `MODALITIES`, or of an entry point.

    Raises:
        PluginError: There is none of this name.
    """
    found = find(
        name,
        MODALITIES,
        what="modality",
        group="anymal.modalities",
        wanted=Modality,
        takes_modules=False,
    )
    if found.name != name:
        raise PluginError(f"the entry point {name!r} leads to a modality named {found.name!r}")
    return found


def modality_of(part: MediaPart) -> str:
    """The name of the modality that a part carries."""
    if isinstance(part, InputMediaPart):
        return part.input_media.modality
    return next(name for name, row in MODALITIES.items() if part.type in row.part_types)


def carrier_of(part: MediaPart) -> str:
    """What errors call a part."""
    is_foreign = isinstance(part, InputMediaPart)
    return f"{part.type} of {modality_of(part)}" if is_foreign else part.type


def carriers_of(modalities: Iterable[str]) -> list[str]:
    """What errors call the parts that carry some modalities."""
    return [carrier for name in modalities for carrier in find_modality(name).carriers]


def nouns_of(modalities: Iterable[str]) -> list[str]:
    """What people call a medium of some modalities, with its article."""
    return [find_modality(name).noun or f"a medium of {name}" for name in modalities]


def not_taken(part: MediaPart, modalities: Iterable[str], *, place: str) -> ConversationError:
    """The error of a part whose modality is not among those that a model takes."""
    taken = ", ".join(["text", *carriers_of(modalities)])
    error = ConversationError(f"this model does not take {carrier_of(part)}; it takes {taken}")
    error.place = place
    return error


def what_is_needed(modalities: Iterable[str]) -> str:
    """What to add to a conversation without any medium, for a model of some modalities."""
    names = list(modalities)
    nouns, parts = _any_of(nouns_of(names)), _any_of(carriers_of(names))
    own = [name for name in names if name in MODALITIES]
    if not own:  # the command line attaches no media of other packages
        return f"this model only answers about {nouns}; add a part {parts}"
    flags, commands = (_any_of([f"{mark}{name}" for name in own]) for mark in ("--", "/"))
    return (
        f"this model only answers about {nouns}; add {flags} (in a chat {commands}, in a "
        f"request a part {parts})"
    )


def _any_of(names: Sequence[str]) -> str:
    """Names as a choice: `a, b or c`."""
    *others, last = names or [""]
    return f"{', '.join(others)} or {last}" if others else last


def blank_part(modality: Modality) -> dict[str, Any]:
    """A part with the blank file of a modality of another package.

    Raises:
        DataError: It brings none.
    """
    if modality.blank is None:
        raise DataError(
            f"the modality {modality.name!r} brings no blank file; give its Modality one"
        )
    data = base64.b64encode(modality.blank()).decode("ascii")
    url = f"data:application/octet-stream;base64,{data}"
    return {"type": "input_media", "input_media": {"modality": modality.name, "url": url}}


def read_medium(part: MediaPart, *, limits: Limits, base_dir: Path | None) -> Medium:
    """Bring the medium of a part into memory.

    Args:
        part: A validated part.
        limits: How many bytes are accepted.
        base_dir: Folder that paths are relative to and may not leave; None refuses paths.

    Returns:
        The undecoded medium.

    Raises:
        ConversationError: A modality of the table comes as `input_media`.
        MediaError: It cannot be read.
    """
    if isinstance(part, InputMediaPart):
        return _read_input_media(part, limits=limits, base_dir=base_dir)
    body = getattr(part, part.type)
    content = {"url", "data", "samples", "detail", "sound"}
    options = body.model_dump(exclude=content, exclude_none=True)
    if (url := getattr(body, "url", None)) is not None:
        source = read_source(url, limits=limits, base_dir=base_dir)
        return Medium(source=source, options=options)
    if (data := getattr(body, "data", None)) is not None:
        source = read_base64(data, limits=limits, name=f"{part.type}.data")
        return Medium(source=source, options=options)
    return Medium(source=None, samples=body.samples, options=options)


def _read_input_media(part: InputMediaPart, *, limits: Limits, base_dir: Path | None) -> Medium:
    """The file of a modality of another package."""
    body = part.input_media
    if body.modality in MODALITIES:
        carriers = " or ".join(MODALITIES[body.modality].carriers)
        raise ConversationError(f"{body.modality} is sent as {carriers}, not as input_media")
    source = read_source(body.url, limits=limits, base_dir=base_dir)
    return Medium(source=source, options=body.options)


def _decode_image(medium: Medium, limits: Limits) -> Signal:
    """An image file."""
    return decode_image(_file(medium), limits)


def _decode_video(medium: Medium, limits: Limits, *, num_frames: int) -> Signal:
    """As many frames of a video file as its encoder wants, from the declared stretch."""
    return decode_video(_file(medium), limits, num_frames=num_frames, **medium.options)


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
        Modality(name="image", part_types=("image_url",), decode=_decode_image, noun="an image"),
        Modality(
            name="video",
            part_types=("video_url",),
            decode=_decode_video,
            hints=("num_frames",),
            noun="a clip",
        ),
        Modality(
            name="audio",
            part_types=("input_audio", "audio_url"),
            decode=_decode_audio,
            noun="a sound",
        ),
        Modality(
            name="imu", part_types=("input_imu",), decode=_decode_imu, noun="a motion recording"
        ),
    )
}
