"""What routes depend on: the worker, the caller, and an administrator's rights.

Does not look at keys; `key_check` did.
"""

from typing import Annotated

from fastapi import Depends, Request

from server.answering.worker import Worker
from server.edge.keys import Caller
from server.errors import NotAllowed


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


def calling(request: Request) -> Caller:
    """Who sent the request, as `key_check` found."""
    caller: Caller = request.state.caller
    return caller


TheWorker = Annotated[Worker, Depends(_worker)]
TheCaller = Annotated[Caller, Depends(calling)]


def administrator(caller: TheCaller) -> None:
    """Refuse callers who are not administrators.

    Raises:
        NotAllowed: If the caller is not one.
    """
    if not caller.is_admin:
        raise NotAllowed(f"{caller.name!r} is not an administrator; send an administrator's key")
