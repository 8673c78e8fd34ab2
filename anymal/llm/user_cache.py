"""Where this package keeps what it can make again: the user's cache folder, as XDG names it.

Does not create, bound or clear it.
"""

import os
from pathlib import Path


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/anymal`, or `~/.cache/anymal`; it need not be there."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, "anymal")
