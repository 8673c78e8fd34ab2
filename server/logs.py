"""The format of the log: one JSON object a line, or text; never what callers sent.

Does not decide what is logged. An exception or a warning is written as its type and where it came
from, without the folders of this machine: what it says may quote a prompt, and is written only
where a setting asks for it. Everything written has a greatest length, and what is cut is said.
"""

import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from server.edge.request_facts import CURRENT_REQUEST

logger = logging.getLogger(__name__)

_ROOT = str(Path(__file__).parents[1])  # of this project's own packages
# Other loggers write warnings only: some log every request with its address.
_OURS = ("aligners", "anymal", "encoders", "server")
# These bring handlers of their own, which write bare text between the lines.
_LOUD = ("huggingface_hub", "transformers")
_LONGEST = 2000  # characters of a message, a field or a line of an exception
_MOST_FRAMES = 50
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"[\w./:()-]+", re.ASCII)


def configure_logging(
    format: Literal["json", "text"] = "json", *, with_error_text: bool = False
) -> None:
    """Set up the log of this process, on standard error.

    Args:
        format: One JSON object a line, or text for people.
        with_error_text: Write the messages of unexpected errors, which may quote what callers sent.
    """
    handler = logging.StreamHandler()
    kind = JsonFormatter if format == "json" else TextFormatter
    handler.setFormatter(kind(with_error_text=with_error_text))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)

    def note_warning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = f": {message}" if with_error_text else ""
        logger.warning("%s at %s:%d%s", category.__name__, module_path(filename), lineno, text)

    # Else Python writes lines of its own, which are no JSON.
    warnings.showwarning = note_warning


def take_over_libraries() -> None:
    """Let the libraries that have been imported write through this process's log alone."""
    for name in _LOUD:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the request's id, and more."""

    def __init__(self, *, with_error_text: bool = False) -> None:
        super().__init__()
        self._with_error_text = with_error_text

    def format(self, record: logging.LogRecord) -> str:
        """See `logging`."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _bounded(record.getMessage()),
        }
        line |= _fields(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = list(described(record.exc_info[1], self._with_error_text))
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def __init__(self, *, with_error_text: bool = False) -> None:
        super().__init__()
        self._with_error_text = with_error_text

    def format(self, record: logging.LogRecord) -> str:
        """See `logging`."""
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
        message = _bounded(record.getMessage())
        lines = [f"{_time(record)} {record.levelname} {record.name}: {message}{fields}"]
        if record.exc_info and record.exc_info[1] is not None:
            lines += [
                f"    {line}" for line in described(record.exc_info[1], self._with_error_text)
            ]
        # A line break inside a message would look like a line of its own.
        return "\n".join(_CONTROL.sub(_escaped, line) for line in lines)


def described(error: BaseException, with_text: bool) -> Iterator[str]:
    """An exception, its causes first: type, then where it came from.

    Args:
        error: The exception.
        with_text: Whether its message may be written.

    Yields:
        Lines without line breaks.
    """
    seen: set[int] = set()
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    for link in reversed(chain):
        yield _bounded(repr(link)) if with_text else type(link).__name__
        frames = traceback.extract_tb(link.__traceback__)
        if (num_cut := len(frames) - _MOST_FRAMES) > 0:
            yield f"({num_cut} more)"
        for frame in frames[-_MOST_FRAMES:]:
            yield f"at {module_path(frame.filename)}:{frame.lineno} {frame.name}"


def module_path(file: str) -> str:
    """The path of a module below the folder that it is imported from, such as `PIL/Image.py`."""
    folders = [
        folder for folder in (*sys.path, _ROOT) if folder and file.startswith(folder + os.sep)
    ]
    longest = max(folders, key=len, default=os.path.dirname(file))
    return os.path.relpath(file, longest) if os.path.isabs(file) else file


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What stands beside the message."""
    request = CURRENT_REQUEST.get()
    known = {} if request is None else {"request_id": request.request_id}
    fields = known | getattr(record, "fields", {})
    return {
        key: _bounded(value) if isinstance(value, str) else value for key, value in fields.items()
    }


def _quoted(value: object) -> str:
    """A field's value as text that cannot be taken for another field."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value)


def _escaped(character: re.Match[str]) -> str:
    return repr(character[0])[1:-1]


def _bounded(text: str) -> str:
    """A text without what is too much of it."""
    num_cut = len(text) - _LONGEST
    return text if num_cut <= 0 else f"{text[:_LONGEST]} ... ({num_cut} characters more)"


def _time(record: logging.LogRecord) -> str:
    """UTC, to the millisecond."""
    moment = datetime.fromtimestamp(record.created, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
