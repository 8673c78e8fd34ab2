"""A medium to the signal that an encoder wants, in this process.

Does not read media and knows no processes: `pool` runs this in others.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from anymal.media.limits import Limits
from anymal.modality import Medium, find_modality


class Decode(Protocol):
    """Decodes as `decode_medium` does, here or in another process."""

    def __call__(
        self, medium: Medium, preprocessor: object, *, modality: str, limits: Limits
    ) -> Any:
        """See `decode_medium`."""
        ...


def decode_medium(medium: Medium, preprocessor: object, *, modality: str, limits: Limits) -> Any:
    """Decode a medium as an encoder wants it, in this process.

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
    hints = hints_of(preprocessor, modality=modality)
    return decode_hinted(medium, limits, modality=modality, hints=hints)


def hints_of(preprocessor: object, *, modality: str) -> dict[str, Any]:
    """What decoding wants to know of an encoder's preprocessor."""
    return {hint: getattr(preprocessor, hint) for hint in find_modality(modality).hints}


def decode_hinted(
    medium: Medium, limits: Limits, *, modality: str, hints: Mapping[str, Any]
) -> Any:
    """The same as `decode_medium`, from the hints alone, which can be sent to another process."""
    return find_modality(modality).decode(medium, limits, **hints)
