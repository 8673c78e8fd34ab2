"""A service around a fake model that says back what it was told, and ways to reach it."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from anymal.client import Client
from anymal.conversation import Conversation, TextPart
from anymal.engine.prompt import EmbeddingSegment, Prompt, TokenSegment
from anymal.engine.sampling import Sampling
from anymal.engine.serial import SerialEngine
from anymal.errors import MediaCorrupt, MediaTooLarge, TooLong
from server.app import create_app
from server.settings import Settings
from server.worker import Backend

MISTAKES = {
    "too long": TooLong("900 tokens; the model takes 512"),
    "corrupt": MediaCorrupt("a.png", "half a PNG", "a whole one"),
    "too large": MediaTooLarge("a.png", "99 bytes", "9 bytes"),
    "boom": RuntimeError("a secret of the house"),
}


class EchoDecoder:
    """Says what the prompt holds, one byte a step; `forever` never ends."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.has_ended = threading.Event()
        self.last_sampling: Sampling | None = None

    def decode(self, prompt: Prompt, sampling: Sampling) -> Iterator[int]:
        self.last_sampling = sampling
        text = prompt.segments[1].digest  # type: ignore[union-attr]
        try:
            data = text.encode()
            for byte in itertools.cycle(data) if text == "forever" else data:
                if byte == ord("#"):
                    raise RuntimeError("a secret of the house")
                self.has_begun.set()
                yield byte
        finally:
            self.has_ended.set()

    def text(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def room(self, prompt: Prompt) -> int:
        return 10**9


def echo(conversation: Conversation) -> Any:
    """The last words, and how many media came with them."""
    parts = conversation.messages[-1].parts
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    if text in MISTAKES:
        raise MISTAKES[text]
    num_media = sum(not isinstance(part, TextPart) for part in parts)
    return f"{text} +{num_media}" if num_media else text


def soften(text: Any) -> Prompt:
    """Three words and a picture; what to say stands where the picture's hash would."""
    picture: Any = range(32)
    words = TokenSegment(ids=(1, 2, 3))
    return Prompt(segments=(words, EmbeddingSegment(embeddings=picture, digest=text, kind="image")))


@pytest.fixture
def decoder() -> EchoDecoder:
    return EchoDecoder()


@pytest.fixture
def backend(decoder: EchoDecoder) -> Iterator[Backend]:
    engine = SerialEngine(decoder)
    yield Backend(
        name="anymal-fake",
        modalities=("image",),
        process=echo,
        soften=soften,
        engine=engine,
        created=7,
    )
    engine.close()


@pytest.fixture
def make_app(backend: Backend) -> Callable[..., FastAPI]:
    """Builds the app with some settings."""
    return lambda **settings: create_app(Settings(**settings), backend)


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app()


def bridge(app: FastAPI, http: Any = httpx) -> Any:
    """Lets ordinary clients of httpx (or of a library shaped like it) call an ASGI app."""

    class Bridge(http.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            async def call() -> Any:
                transport = http.ASGITransport(app, raise_app_exceptions=False)
                response = await transport.handle_async_request(request)
                return http.Response(
                    response.status_code, headers=response.headers, content=await response.aread()
                )

            return asyncio.run(call())

    return Bridge()


@pytest.fixture
def http(app: FastAPI) -> Iterator[httpx.Client]:
    with httpx.Client(transport=bridge(app), base_url="http://anymal") as client:
        yield client


@pytest.fixture
def make_http(make_app: Callable[..., FastAPI]) -> Callable[..., httpx.Client]:
    """A plain HTTP client of an app with some settings."""
    return lambda **settings: httpx.Client(
        transport=bridge(make_app(**settings)), base_url="http://anymal"
    )


@pytest.fixture
def client(app: FastAPI) -> Iterator[Client]:
    with Client("http://anymal", transport=bridge(app)) as client:
        yield client


@pytest.fixture
def make_bridge() -> Callable[..., Any]:
    return bridge
