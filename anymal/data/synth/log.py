"""What the text model said of each row, one line a row, so that a killed run goes on.

Does not ask. Threads may add lines at once.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from anymal.errors import DataError


class SynthLog:
    """Lines by their keys; the last one of a key counts.

    Attributes:
        lines: What was said.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there; a last line that was cut short is taken off the file.

        Raises:
            DataError: The file holds something else.
        """
        self.lines: dict[str, Mapping[str, Any]] = {}
        self._lock = Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                found = json.loads(line)
                self.lines[found["key"]] = found
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    f"{path}:{number} is not a line that `anymal data synth` wrote; "
                    "move the file away, or name another --out"
                ) from None
        if len(whole) < len(data):
            with path.open("r+b") as file:
                file.truncate(len(whole))
        # By line, so that what was said is kept when the process is killed.
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, key: str, facts: Mapping[str, Any]) -> None:
        """Write what was said of a row."""
        line = {"key": key, **facts}
        with self._lock:
            self.lines[key] = line
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
