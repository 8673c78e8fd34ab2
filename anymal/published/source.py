"""A published checkpoint before any of it is loaded: its class, and whether it may be read."""

from dataclasses import dataclass
from pathlib import Path

from anymal.bundle.contents import read_json
from anymal.errors import BundleError
from anymal.published.base import Importer
from anymal.published.registry import IMPORTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that may be read.

    Attributes:
        folder: On this machine.
        importer: Of its class.
    """

    folder: Path
    importer: Importer


def checked_source(folder: str | Path) -> Source:
    """Find the importer of a checkpoint, after its files were checked.

    Args:
        folder: Of the checkpoint.

    Returns:
        What may be read.

    Raises:
        BundleError: It cannot be imported.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    name = (config.get("architectures") or ["none"])[0]
    if name not in IMPORTERS:
        raise BundleError(
            f"{name} cannot be imported; classes that can: {', '.join(sorted(IMPORTERS))}"
        )
    return Source(folder=folder, importer=IMPORTERS[name])
