"""What routes ask of a request before they act: the worker, the caller, whether it may.

Does not look at keys; the door did.
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
    """Who sent the request, as the door found."""
    caller: Caller = request.state.caller
    return caller


TheWorker = Annotated[Worker, Depends(_worker)]
TheCaller = Annotated[Caller, Depends(calling)]


def administrator(caller: TheCaller) -> None:
    """Refuse all but administrators.

    Raises:
        NotAllowed: If the caller is none.
    """
    if not caller.is_admin:
        raise NotAllowed(f"{caller.name!r} is not an administrator; send an administrator's key")
