"""How the client says that there is no answer."""

from collections.abc import Callable

import httpx
import pytest

from anymal.client import AsyncClient, Client, errors
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
    400: errors.BadRequestError,
    401: errors.UnauthorizedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    408: errors.TimedOutError,
    413: errors.TooLargeError,
    418: errors.ClientError,
    422: errors.BadRequestError,
    429: errors.BusyError,
    500: errors.ServerError,
    502: errors.ServerError,
    503: errors.NotReadyError,
    504: errors.OverdueError,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_every_status_has_its_error(
    status: int, kind: type[errors.ClientError], stream: bool
) -> None:
    body = {"error": {"message": "no", "type": "t", "param": "messages", "code": "c"}}

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"x-request-id": "seven"})

    with (
        make(handler) as client,
        pytest.raises(errors.ClientError, match=r"^no$") as refused,
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
        pytest.raises(errors.ContentRefusedError) as refused,
    ):
        client.ask("What?")
    assert isinstance(refused.value, errors.BadRequestError)


@pytest.mark.parametrize("status", [*STATUSES, 500])
def test_what_passes_by_itself(status: int) -> None:
    with (
        make(lambda _: httpx.Response(status, headers={"retry-after": "7"})) as client,
        pytest.raises(errors.ClientError) as refused,
    ):
        client.models()
    assert refused.value.is_transient == (status in (408, 429, 502, 503, 504))
    assert refused.value.retry_after_s == 7


def test_page_of_a_proxy_is_an_error_too() -> None:
    with (
        make(lambda _: httpx.Response(502, text="<html>bad gateway")) as client,
        pytest.raises(errors.ServerError, match="502: <html>bad"),
    ):
        client.models()
    with (
        make(lambda _: httpx.Response(200, text="<html>hello")) as client,
        pytest.raises(errors.ServerError, match="did not answer with a ModelList"),
    ):
        client.models()


def test_error_event_ends_the_stream() -> None:
    event = 'event: error\ndata: {"error": {"message": "it broke", "type": "server_error"}}\n\n'

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=PIECE + event)

    with make(handler) as client:
        stream = client.ask("What?", stream=True)
        assert next(stream) == "A "
        with pytest.raises(errors.ServerError, match="it broke"):
            next(stream)


def test_stream_that_breaks_off_is_no_answer() -> None:
    with make(lambda _: httpx.Response(200, text=PIECE)) as client:
        stream = client.ask("What?", stream=True)
        with pytest.raises(errors.ServerError, match="broke off"):
            list(stream)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (httpx.ConnectError("refused"), errors.ConnectionFailedError),
        (httpx.ReadTimeout("slow"), errors.TimedOutError),
        (httpx.RemoteProtocolError("gone"), errors.ConnectionFailedError),
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
