"""Pillow's warnings about odd files, as lines of the log.

A Python warning would carry a path of this machine, and is an error where a program asks for that.
"""

import logging
import warnings
from pathlib import Path
from threading import Lock
from typing import Any

logger = logging.getLogger(__name__)


class _AsLogLines:
    """Turns Pillow's warnings into log lines while any thread is inside.

    Python keeps its warning filters for the whole process, so the first thread in changes them and
    the last one out restores them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._num_inside = 0
        self._before: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._num_inside += 1
            if self._before is None:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("always", module=r"PIL\.")
                warnings.showwarning = _logged(warnings.showwarning)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._before is not None and not self._num_inside:
                self._before.__exit__(None, None, None)
                self._before = None


def _logged(otherwise: Any) -> Any:
    """Writes what Pillow warns of to the log, and passes the warnings of others on."""

    def show(message: Warning | str, category: type[Warning], filename: str, *more: Any) -> None:
        if "PIL" in Path(filename).parts:
            logger.warning("a picture: %s", " ".join(str(message).split()))
        else:
            otherwise(message, category, filename, *more)

    return show


as_log_lines = _AsLogLines()
