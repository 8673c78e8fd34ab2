"""Other checkpoints that a published one names: a tower or a language model, by Hub id or folder.

Does not check or load them.
"""

import os
from pathlib import Path

from anymal.bundle.parts import hub_folder
from anymal.errors import BundleError


def local_other(name: object, folder: Path, *, allow_hub: bool = False) -> Path:
    """Where another checkpoint lies on this machine.

    Args:
        name: As the configuration names it: a folder, perhaps relative to the checkpoint's own, or
            a Hub id.
        folder: Of the checkpoint.
        allow_hub: Download it if it is not here.

    Returns:
        Its folder.

    Raises:
        BundleError: It is not here, or that is no name.
    """
    if not isinstance(name, str):
        raise BundleError(
            f"{str(folder)!r} names another checkpoint by {name!r}, which is no name; copy it again"
        )
    place = os.path.join(folder, name)
    if os.path.isdir(place):  # unlike Path.is_dir, false for what can be no path at all
        return Path(place).resolve()
    what = f"another checkpoint that {str(folder)!r} names"
    return Path(hub_folder(name, what=what, allow_hub=allow_hub))
