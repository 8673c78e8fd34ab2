"""Other checkpoints that a published one names: a tower or a language model, by Hub id or folder.

Does not check or load them.
"""

from pathlib import Path

from anymal.bundle.parts import hub_folder


def local_other(name: str, folder: Path, *, allow_hub: bool = False) -> Path:
    """Where another checkpoint lies on this machine.

    Args:
        name: As the configuration names it: a folder, perhaps relative to the checkpoint's own, or
            a Hub id.
        folder: Of the checkpoint.
        allow_hub: Download it if it is not here.

    Returns:
        Its folder.

    Raises:
        BundleError: It is not here.
    """
    place = (folder / name).resolve()
    if place.is_dir():
        return place
    what = f"another checkpoint that {str(folder)!r} names"
    return Path(hub_folder(name, what=what, allow_hub=allow_hub))
