"""Mistakes in the media of a row: files that are not there, not whole, not what they are called.

Does not read the words of a row.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anymal.data.checks.mistake import Mistake, mistake_of
from anymal.data.checks.names import name_mistake
from anymal.data.checks.signals import signal_mistakes
from anymal.errors import AnymalError
from anymal.media.limits import Limits
from anymal.modality import Medium, find_modality, modality_of, read_medium
from anymal.protocol.conversation import MediaPart
from encoders.plugins import PluginError
from encoders.signals import Audio, Image, Motion, Video

DecodeOne = Callable[[Medium, str], Any]
"""From a medium and the name of its modality to its signal."""

# Doubtful units are a mistake of their own here, not an error of decoding.
LIMITS = replace(Limits(), refuses_doubtful_units=False)
# Where no encoder says how many frames it wants.
_FRAMES = {"num_frames": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedMedium:
    """What became of a medium.

    Attributes:
        modality: Its name.
        digest: SHA-256 of the content; of where it should be, where it cannot be read.
        mistakes: What is wrong with it.
        signal: What it was decoded to; None where it could not be.
    """

    modality: str
    digest: str
    mistakes: tuple[Mistake, ...]
    signal: Any = None

    @property
    def size(self) -> float | None:
        """Pixels of the longer side of an image, or seconds of what has a length."""
        match self.signal:
            case Image():
                return float(max(self.signal.pixels.shape[:2]))
            case Video() | Audio() | Motion():
                return float(self.signal.duration_s)
        return None


def decode_alone(medium: Medium, modality: str) -> Any:
    """Decode a medium that no encoder has asked for.

    Args:
        medium: From `read_medium`.
        modality: Its name.

    Returns:
        The signal.

    Raises:
        MediaError: It cannot be decoded.
    """
    row = find_modality(modality)
    wanted = {hint: _FRAMES[hint] for hint in row.hints if hint in _FRAMES}
    return row.decode(medium, LIMITS, **wanted)


def check_medium(part: MediaPart, base_dir: Path, decode: DecodeOne) -> CheckedMedium:
    """Read and decode one medium.

    Args:
        part: Where it is.
        base_dir: Folder that its path is relative to and may not leave.
        decode: Decodes it.

    Returns:
        What is wrong with it, and what else was learnt on the way.
    """
    modality = modality_of(part)
    try:
        medium = read_medium(part, limits=LIMITS, base_dir=base_dir)
    except AnymalError as error:
        place = part.model_dump_json().encode()
        return CheckedMedium(
            modality=modality,
            digest=hashlib.sha256(place).hexdigest(),
            mistakes=(_refused(error),),
        )
    mistakes = list(_of_name(medium))
    signal = None
    try:
        signal = decode(medium, modality)
    except (AnymalError, PluginError) as error:
        # What is of another kind than its place takes need not be named for it as well.
        mistakes = [_refused(error)]
    else:
        mistakes += signal_mistakes(signal, medium.options, medium.name)
    return CheckedMedium(
        modality=modality, digest=medium.digest, mistakes=tuple(mistakes), signal=signal
    )


def _of_name(medium: Medium) -> Iterator[Mistake]:
    """The mistake of a name that does not match the content, if there is one."""
    if medium.source is not None and (found := name_mistake(medium.source)) is not None:
        yield found


def _refused(error: AnymalError | PluginError) -> Mistake:
    """The mistake of a medium that cannot be read or decoded."""
    if isinstance(error, PluginError):
        return Mistake(kind="unfit", reason=str(error), change="install what brings the modality")
    return mistake_of(error, "unfit", change="put another medium in its place")
