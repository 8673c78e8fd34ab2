"""Write a bundle in a format that others read: a class of transformers, PEFT, or a plain LLM.

Does not know what the formats hold; each has a file of its own. A bundle stays as it is.
"""

from collections.abc import Callable
from pathlib import Path

from anymal.bundle.manifest import bundle_folder, read_manifest
from anymal.durable import write_folder
from anymal.errors import BundleError
from anymal.published.export_class import write_class
from anymal.published.export_merged import write_merged
from anymal.published.export_peft import write_adapter
from anymal.published.written import Written, writing

Write = Callable[[str | Path, Path], Written]

FORMATS: dict[str, Write] = {
    "hf": write_class,
    "merged": write_merged,
    "peft": write_adapter,
}


def export_bundle(bundle: str | Path, out: Path, *, to: str) -> Written:
    """Write a bundle in another format, whole or not at all.

    Args:
        bundle: Its folder, or `tiny` for the built-in model.
        out: A folder that is new or empty.
        to: A key of `FORMATS`.

    Returns:
        What was written, and what of the bundle was not.

    Raises:
        BundleError: The bundle cannot be loaded, the format cannot hold it, or the folder is taken.
        RecipeError: A part cannot be built.
    """
    if to not in FORMATS:
        raise BundleError(f"unknown format {to!r}; known: {', '.join(FORMATS)}")
    out = _new_folder(out)
    if (inside := bundle_folder(bundle)) in out.parents:
        raise BundleError(
            f"{str(out)!r} is inside the bundle {str(inside)!r}, which would hold files that no "
            "bundle may hold; give a folder elsewhere"
        )
    if read_manifest(inside).recipe.side is not None:
        raise BundleError(
            f"{str(bundle)!r} has layers beside the row (model.side), without which its language "
            "model answers otherwise; no format of an export holds them; serve the bundle itself"
        )
    with writing(out), write_folder(out) as draft:
        return FORMATS[to](bundle, draft)


def _new_folder(folder: Path) -> Path:
    """Where a checkpoint may be written: a folder that is new or empty, as an absolute path."""
    folder = Path(folder).expanduser().resolve()
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise BundleError(f"{str(place)!r} is not a folder; give another")
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{str(folder)!r} is not empty; give a folder that is new or empty")
    return folder
