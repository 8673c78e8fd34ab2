"""Facts about the request in progress, for its line in the log; nothing that the caller sent.

Does not log. A record is found from wherever the request's own task, or one that it started, runs.
"""

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request, filled in while it is served.

    Attributes:
        request_id: The id that its answer carries.
        caller: Name of the key it came with; None before that is known.
        tokens: Tokens of its prompt and answer by kind.
        error: Code of the error it was answered with; None if it succeeded.
    """

    request_id: str
    caller: str | None = None
    tokens: Counter[str] = field(default_factory=Counter)
    error: str | None = None


CURRENT_REQUEST: ContextVar[RequestRecord | None] = ContextVar("anymal_request", default=None)


def note_error(code: str) -> bool:
    """Keep the code of the error that the request in progress is answered with.

    Returns:
        Whether there is a request in progress.
    """
    record = CURRENT_REQUEST.get()
    if record is not None:
        record.error = code
    return record is not None
