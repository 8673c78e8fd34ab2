"""Remote media: which hosts and addresses are asked, and how much of an answer is taken."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from anymal import errors
from anymal.errors import MediaForbidden, MediaNotFound, MediaTooLarge
from anymal.media.limits import Limits
from anymal.media.source import read_source
from anymal.protocol.conversation import Conversation, read_conversation
from server.addresses import is_public
from server.remote_media import RemoteMedia

LOOPBACK = "127.0.0.1"
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def to_loopback(host: str, port: int) -> Sequence[str]:
    return [LOOPBACK]


def answer(body: bytes = b"a picture", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Host:
    """An HTTP server on loopback that answers by path and keeps what it was sent."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.heads: list[str] = []
        self.is_endless = self.is_silent = False
        self.port = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            writer.write(self.answers[head.split()[1]])
            await writer.drain()
            while self.is_endless:
                writer.write(b"x" * 100)
                await writer.drain()
                await asyncio.sleep(0)
            if self.is_silent:
                await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def hosted(
    answers: dict[str, bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Host]:
    host = Host(answers)
    server = await asyncio.start_server(host.handle, LOOPBACK, 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    async with server:
        yield host
    for task in host.tasks:
        task.cancel()
    await asyncio.gather(*host.tasks, return_exceptions=True)


def media(host: Host, **more: object) -> RemoteMedia:
    given = {
        "hosts": frozenset({f"media.test:{host.port}"}),
        "allow_http": True,
        "resolve": to_loopback,
        "is_allowed": lambda address: address == LOOPBACK,
    }
    return RemoteMedia(**{**given, **more})  # type: ignore[arg-type]


def url(host: Host, path: str = "/a.png") -> str:
    return f"http://media.test:{host.port}{path}"


def asking(*urls: str) -> Conversation:
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return read_conversation({"messages": [{"role": "user", "content": parts}]})


def urls_of(conversation: Conversation) -> list[str]:
    return [part.image_url.url for part in conversation.messages[0].parts]  # type: ignore[union-attr]


async def test_remote_media_become_data_urls_and_the_rest_stays() -> None:
    async with hosted({"/a.png": answer()}) as host:
        given = asking(url(host), "data:image/png;base64,AAAA", url(host))
        first, second, third = urls_of(await media(host).inline(given))
    assert read_source(first, limits=Limits()).data == b"a picture"
    assert (second, third) == ("data:image/png;base64,AAAA", first)
    assert len(host.heads) == 1  # the same URL is fetched once
    assert f"host: media.test:{host.port}\r\n" in host.heads[0].lower()
    assert "accept-encoding: identity\r\n" in host.heads[0].lower()


async def test_conversation_without_remote_media_is_left_alone() -> None:
    given = asking("data:image/png;base64,AAAA", "a/path.png")
    assert await RemoteMedia(hosts=frozenset()).inline(given) is given


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://other.test/a", "the host 'other.test'"),
        ("http://media.test/a", "the host 'media.test'"),  # another port
        ("http://127.0.0.1:{port}/a", "the host"),
        ("http://media.test.:{port}/a", "the host"),
        ("http://media.test:{port}@other.test/a", "a URL with a user name"),
        ("http://me:secret@media.test:{port}/a", "a URL with a user name"),
        ("https://", "the host"),
        ("http://[::1/", "a URL that cannot be read"),
    ],
)
async def test_other_hosts_are_never_asked(given: str, found: str) -> None:
    async with hosted({}) as host:
        with pytest.raises(MediaForbidden, match=found):
            await media(host).inline(asking(given.format(port=host.port)))
    assert host.heads == []


async def test_plain_http_is_off_by_default() -> None:
    async with hosted({}) as host:
        with pytest.raises(MediaForbidden, match="a http URL"):
            await media(host, allow_http=False).inline(asking(url(host)))


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::ffff:93.184.215.14"], []]
)
async def test_host_with_an_inner_address_is_never_connected_to(addresses: list[str]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    async with hosted({"/a.png": answer()}) as host:
        with pytest.raises(MediaForbidden, match="not public") as refused:
            await media(host, resolve=resolve, is_allowed=is_public).inline(asking(url(host)))
    assert host.heads == []
    assert not any(address in str(refused.value) for address in addresses)


async def test_name_is_resolved_once_so_that_it_cannot_change_its_mind() -> None:
    answers = iter([[LOOPBACK], ["10.0.0.1"]])

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    async with hosted({"/a.png": answer()}) as host:
        fetched = await media(host, resolve=rebinding).fetch(url(host), max_bytes=99)
    assert fetched == b"a picture"
    assert next(answers) == ["10.0.0.1"]  # nobody asked again


async def test_unknown_host_and_closed_port_are_not_found() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    async with hosted({}) as host:
        own = media(host)
        with pytest.raises(MediaNotFound, match="not known"):
            await media(host, resolve=unknown).fetch(url(host), max_bytes=9)
    with pytest.raises(MediaNotFound, match="no connection"):
        await own.fetch(url(host), max_bytes=9)


async def test_second_address_is_tried_when_the_first_takes_no_connection() -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["::1", LOOPBACK]  # nobody listens on ::1

    async with hosted({"/a.png": answer()}) as host:
        own = media(host, resolve=two, is_allowed=lambda address: True)
        assert await own.fetch(url(host), max_bytes=99) == b"a picture"


async def test_redirect_is_followed_on_an_allowed_host() -> None:
    moved = answer(b"", "302 Found", "Location: /b.png")
    async with hosted({"/a.png": moved, "/b.png": answer(b"moved")}) as host:
        assert await media(host).fetch(url(host), max_bytes=99) == b"moved"


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "https://other.test/", "file:///etc/passwd", "//other.test"],
)
async def test_redirect_is_checked_like_the_first_request(location: str) -> None:
    moved = answer(b"", "301 Moved", f"Location: {location}")
    async with hosted({"/a.png": moved}) as host:
        with pytest.raises(MediaForbidden):
            await media(host).fetch(url(host), max_bytes=99)
    assert len(host.heads) == 1


async def test_redirect_to_a_name_that_now_points_inside_is_refused() -> None:
    answers = iter([[LOOPBACK], ["10.0.0.1"]])

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    moved = answer(b"", "302 Found", "Location: /b.png")
    async with hosted({"/a.png": moved, "/b.png": answer()}) as host:
        with pytest.raises(MediaForbidden, match="not public"):
            await media(host, resolve=rebinding).fetch(url(host), max_bytes=99)
    assert len(host.heads) == 1


async def test_redirects_end() -> None:
    async with hosted({"/a.png": answer(b"", "302 Found", "Location: /a.png")}) as host:
        with pytest.raises(MediaForbidden, match="more than 3 redirects"):
            await media(host).fetch(url(host), max_bytes=99)
    assert len(host.heads) == 4


@pytest.mark.parametrize(
    ("reply", "error", "found"),
    [
        (answer(b"", "404 Not Found"), MediaNotFound, "HTTP status 404"),
        (answer(b"", "302 Found"), MediaNotFound, "HTTP status 302"),  # leads nowhere
        (answer(b"", "302 Found", "Location: http://[::1"), MediaForbidden, "cannot be read"),
        (answer(b"x" * 100), MediaTooLarge, "at most 99"),
        (answer(b"x", "200 OK", "Content-Encoding: gzip"), errors.MediaUnsupported, "packed"),
        (b"no HTTP at all\r\n\r\n", MediaNotFound, "no whole answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut", MediaNotFound, "no whole answer"),
    ],
)
async def test_answer_that_cannot_be_used(
    reply: bytes, error: type[errors.AnymalError], found: str
) -> None:
    async with hosted({"/a.png": reply}) as host:
        with pytest.raises(error, match=found):
            await media(host).fetch(url(host), max_bytes=99)


async def test_endless_answer_is_cut_at_the_limit() -> None:
    async with hosted({"/a.png": b"HTTP/1.1 200 OK\r\n\r\n"}) as host:
        host.is_endless = True
        with pytest.raises(MediaTooLarge, match="at most 1,000 bytes"):
            await media(host, max_bytes=1000).inline(asking(url(host)))


async def test_all_media_of_a_conversation_share_the_bytes() -> None:
    async with hosted({"/a.png": answer(b"x" * 60), "/b.png": answer(b"x" * 60)}) as host:
        with pytest.raises(MediaTooLarge, match="at most 40 bytes"):
            await media(host, max_bytes=100).inline(asking(url(host), url(host, "/b.png")))
        many = asking(*(url(host, f"/{number}") for number in range(17)))
        with pytest.raises(MediaTooLarge, match="17 remote URLs"):
            await media(host).inline(many)


async def test_answer_that_does_not_come_is_given_up() -> None:
    async with hosted({"/a.png": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"}) as host:
        host.is_silent = True
        with pytest.raises(MediaNotFound, match=r"within 0\.1 s"):
            await media(host, seconds=0.1).inline(asking(url(host)))


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with hosted({"/a.png": answer()}) as host:
        assert await media(host).fetch(url(host), max_bytes=99) == b"a picture"


async def test_tls_names_the_host_and_not_its_address() -> None:
    hellos: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hellos.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(handle, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    own = RemoteMedia(
        hosts=frozenset({f"media.test:{port}"}), resolve=to_loopback, is_allowed=lambda _: True
    )
    async with server:
        with pytest.raises(MediaNotFound):
            await own.fetch(f"https://media.test:{port}/a.png", max_bytes=99)
    assert b"media.test" in hellos[0]
    assert LOOPBACK.encode() not in hellos[0]


async def test_connection_without_a_good_certificate_is_refused() -> None:
    # Anonymous ciphers carry no certificate at all.
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    anonymous.maximum_version = ssl.TLSVersion.TLSv1_2
    anonymous.set_ciphers("ADH-AES128-GCM-SHA256:@SECLEVEL=0")
    async with hosted({"/a.png": answer()}, tls=anonymous) as host:
        with pytest.raises(MediaNotFound, match="no connection"):
            await media(host).fetch(url(host).replace("http:", "https:"), max_bytes=99)
    assert host.heads == []
