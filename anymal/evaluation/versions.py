"""The versions of what answers depend on, for reports.

Does not say what is installed besides.
"""

import platform
from importlib.metadata import version

_PACKAGES = ("anymal", "torch", "transformers", "peft", "numpy", "av", "pillow", "soxr")


def versions() -> dict[str, str]:
    """Name to version: of Python, and of the packages that decode, encode and answer."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
