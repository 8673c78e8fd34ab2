"""How the client says that there is no answer."""

from collections.abc import Callable

import httpx
import pytest

from anymal import client_errors
from anymal.client import AsyncClient, Client
from anymal.errors import AnymalError

Handler = Callable[[httpx.Request], httpx.Response]
PIECE = (
    'data: {"id": "1", "created": 1, "model": "m", '
    '"choices": [{"delta": {"content": "A "}, "finish_reason": null}]}\n\n'
)


def make(handler: Handler) -> Client:
    transport = httpx.MockTransport(handler)
    return Client(base_url="http://anymal", transport=transport, max_retries=0)


def make_async(handler: Handler) -> AsyncClient:
    transport = httpx.MockTransport(handler)
    return AsyncClient(base_url="http://anymal", transport=transport, max_retries=0)


STATUSES = {
    400: client_errors.BadRequestError,
    401: client_errors.UnauthorizedError,
    403: client_errors.ForbiddenError,
    404: client_errors.NotFoundError,
    408: client_errors.TimedOutError,
    413: client_errors.TooLargeError,
    418: client_errors.ClientError,
    422: client_errors.BadRequestError,
    429: client_errors.BusyError,
    500: client_errors.ServerError,
    502: client_errors.ServerError,
    503: client_errors.NotReadyError,
    504: client_errors.OverdueError,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_every_status_has_its_error(
    status: int, kind: type[client_errors.ClientError], stream: bool
) -> None:
    body = {"error": {"message": "no", "type": "t", "param": "messages", "code": "c"}}

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"x-request-id": "seven"})

    with (
        make(handler) as client,
        pytest.raises(client_errors.ClientError, match=r"^no$") as refused,
    ):
        str(client.ask("What?", stream=True).answer if stream else client.ask("What?"))
    error = refused.value
    assert type(error) is kind
    assert isinstance(error, AnymalError)
    assert (error.status, error.code, error.param) == (status, "c", "messages")
    assert error.request_id == "seven"
    async with make_async(handler) as other:
        with pytest.raises(kind):
            await (await other.ask("What?", stream=True)).answer()


def test_refused_content_has_an_error_of_its_own() -> None:
    body = {"error": {"message": "no", "type": "t", "code": "content_refused"}}
    with (
        make(lambda _: httpx.Response(400, json=body)) as client,
        pytest.raises(client_errors.ContentRefusedError) as refused,
    ):
        client.ask("What?")
    assert isinstance(refused.value, client_errors.BadRequestError)


@pytest.mark.parametrize("status", [*STATUSES, 500])
def test_what_passes_by_itself(status: int) -> None:
    with (
        make(lambda _: httpx.Response(status, headers={"retry-after": "7"})) as client,
        pytest.raises(client_errors.ClientError) as refused,
    ):
        client.models()
    assert refused.value.is_transient == (status in (408, 429, 502, 503, 504))
    assert refused.value.retry_after_s == 7


def test_page_of_a_proxy_is_an_error_too() -> None:
    with (
        make(lambda _: httpx.Response(502, text="<html>bad gateway")) as client,
        pytest.raises(client_errors.ServerError, match="502: <html>bad"),
    ):
        client.models()
    with (
        make(lambda _: httpx.Response(200, text="<html>hello")) as client,
        pytest.raises(client_errors.ServerError, match="something else than a ModelList"),
    ):
        client.models()


def test_error_event_ends_the_stream() -> None:
    event = 'event: error\ndata: {"error": {"message": "it broke", "type": "server_error"}}\n\n'

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=PIECE + event)

    with make(handler) as client:
        stream = client.ask("What?", stream=True)
        assert next(stream) == "A "
        with pytest.raises(client_errors.ServerError, match="it broke"):
            next(stream)


def test_stream_that_breaks_off_is_no_answer() -> None:
    with make(lambda _: httpx.Response(200, text=PIECE)) as client:
        stream = client.ask("What?", stream=True)
        with pytest.raises(client_errors.ServerError, match="broke off"):
            list(stream)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (httpx.ConnectError("refused"), client_errors.ConnectionFailedError),
        (httpx.ReadTimeout("slow"), client_errors.TimedOutError),
        (httpx.RemoteProtocolError("gone"), client_errors.ConnectionFailedError),
    ],
)
def test_no_answer_at_all(cause: Exception, kind: type[Exception]) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise cause

    with make(handler) as client:
        for call in (
            lambda: client.ask("What?"),
            lambda: client.ask("What?", stream=True).answer,
            lambda: client.models(),
        ):
            with pytest.raises(kind, match="http://anymal"):
                call()
