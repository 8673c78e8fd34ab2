"""What an export gives back: how the folder is loaded, and what it lacks."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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
    """Let whoever may read the configuration read the weights.

    Args:
        folder: That transformers wrote; it gives safetensors to their owner alone.
    """
    mode = (folder / "config.json").stat().st_mode
    for file in folder.iterdir():
        file.chmod(mode)
