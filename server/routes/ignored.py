"""What the service says about fields of a request that have no effect.

Does not know which they are; `anymal.protocol.without_effect` does.
"""

from fastapi import Request, Response

from anymal.protocol.explain import BodyProblem
from anymal.protocol.requests import TolerantRequest
from server.errors import BadRequest

IGNORED = "x-anymal-ignored"


def refuse_if_strict(body: TolerantRequest, request: Request) -> None:
    """Refuse such fields where the operator wants that.

    Raises:
        BadRequest: If the service is strict and there is one.
    """
    if body.ignored and request.app.state.settings.strict:
        param = body.ignored[0]
        message = f"{param}: this field has no effect, and this service is strict; leave it out"
        raise BadRequest(BodyProblem(message=message, param=param, code="unsupported_parameter"))


def name_ignored(body: TolerantRequest, response: Response) -> None:
    """Name such fields in the answer's header, each once wherever in the messages it was."""
    if body.ignored:
        names = [
            ".".join(step for step in path.split(".") if not step.isdecimal())
            for path in body.ignored
        ]
        response.headers[IGNORED] = ", ".join(dict.fromkeys(names))
