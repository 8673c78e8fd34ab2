"""Names in a file that its format does not read: logged once each, not refused.

Other people's files hold columns for other tools. Does not judge values.
"""

import logging
from collections.abc import Collection, Iterable
from pathlib import Path

logger = logging.getLogger(__name__)


class Unread:
    """Remembers which names of a file were logged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: set[str] = set()

    def tell(self, names: Iterable[str], known: Collection[str], *, inside: str = "") -> None:
        """Log the names that are not known and were not logged before.

        Args:
            names: Of a row, or of an object inside it.
            known: Those that the format reads.
            inside: Prefix of the names in the message, such as `messages.`.
        """
        new = {f"{inside}{name}" for name in names if name not in known} - self._told
        if new:
            self._told |= new
            logger.warning("%s: not read: %s", self._path, ", ".join(sorted(new)))
