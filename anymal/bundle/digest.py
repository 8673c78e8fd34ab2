"""The digest of a whole bundle, by which reports and logs of answers tell one from another.

Does not check parts; `anymal.bundle.load` compares each with the manifest.
"""

import hashlib
from pathlib import Path

from anymal.bundle.manifest import bundle_folder


def bundle_digest(bundle: str | Path) -> str:
    """SHA-256 over names and contents of all files in a bundle's folder.

    Args:
        bundle: Its folder, or `tiny` for the built-in one. A language model outside of the folder
            is covered by what the manifest records of it.

    Raises:
        BundleError: It is no bundle.
    """
    folder = bundle_folder(bundle)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
