"""The result of an export, and the error for a folder that cannot be written.

Writes nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anymal.errors import BundleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An export.

    Attributes:
        holds: What the folder holds, and how it is loaded.
        lacks: What of the bundle is not in it, and what to do instead; empty if nothing.
    """

    holds: str
    lacks: str = ""


def without_aligners(modalities: Iterable[str]) -> str:
    """What an export of the language model alone lacks."""
    return (
        f"encoders and aligners ({', '.join(modalities)}), which stay in the bundle: "
        "POST /v1/align of its service makes soft tokens, which a server of the language model "
        "takes as prompt embeddings"
    )


def readable(folder: Path) -> None:
    """Give the weights the same permissions as the configuration.

    Args:
        folder: That transformers wrote; it gives safetensors to their owner alone.
    """
    mode = (folder / "config.json").stat().st_mode
    for file in folder.iterdir():
        file.chmod(mode)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what the system raises into a user's error.

    Args:
        place: What is written.

    Raises:
        BundleError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{str(place)!r} cannot be written ({error.strerror or error}); see to its permissions "
            "and to free space, or give another folder"
        ) from error
