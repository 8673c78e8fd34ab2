"""What routes ask of a request before they act: the worker, the caller, whether it may.

Does not look at keys; the door did.
"""

from typing import Annotated

from fastapi import Depends, Request

from server.errors import NotAllowed
from server.keys import Caller
from server.worker import Worker


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _administrator(caller: "TheCaller") -> Caller:
    """The caller, who must be an administrator."""
    if not caller.is_admin:
        raise NotAllowed(f"{caller.name!r} is not an administrator; send an administrator's key")
    return caller


TheWorker = Annotated[Worker, Depends(_worker)]
TheCaller = Annotated[Caller, Depends(_caller)]
TheAdministrator = Annotated[Caller, Depends(_administrator)]
