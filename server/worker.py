"""Brings a request to the engine and its events back: admission, processing, cancellation.

Does not know HTTP. One worker holds one model; it may still be loading.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from anymal.conversation import Conversation
from anymal.engine.base import Engine, EngineBusy
from anymal.engine.events import Event, TextDelta
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.errors import AnymalError
from anymal.explain import Refusal
from anymal.protocol import ChatCompletionRequest
from server.errors import BadRequest, ModelNotFound, NotReady

if TYPE_CHECKING:  # the app starts without torch
    from anymal.processor import Sample

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A loaded model, ready to answer.

    Attributes:
        name: What requests call the model.
        modalities: Media that it takes.
        process: Conversation to sample: decodes media, so it may take a while.
        soften: Sample to prompt: runs encoders, so it may take a while.
        engine: Answers prompts.
        created: When it was loaded, in seconds since 1970.
    """

    name: str
    modalities: tuple[str, ...]
    process: Callable[[Conversation], "Sample"]
    soften: Callable[["Sample"], Prompt]
    engine: Engine
    created: int = field(default_factory=lambda: int(time.time()))


class Worker:
    """Admits requests, and sees them through."""

    def __init__(self, *, max_requests: int, default_tokens: int, max_tokens: int) -> None:
        """Holds no model yet.

        Args:
            max_requests: Most requests in the house at once.
            default_tokens: Token limit of a request that sets none.
            max_tokens: Largest limit that a request may set.
        """
        self._max_requests = max_requests
        self._default_tokens = default_tokens
        self._max_tokens = max_tokens
        self._backend: Backend | None = None
        self._num_requests = 0
        # One at a time: decoding media is bounded in memory per file, not in total.
        self._processing = anyio.CapacityLimiter(1)
        self.failure: Exception | None = None

    def load_in_background(
        self, load: Callable[[], Backend], on_failure: Callable[[], None] = lambda: None
    ) -> None:
        """Load the model on a thread of its own; `backend` tells when it is there."""

        def run() -> None:
            try:
                self.use(load())
            except Exception as error:  # the thread's edge: `backend` tells what happened
                self.failure = error
                if not isinstance(error, AnymalError):
                    logger.exception("the model could not be loaded")
                on_failure()

        threading.Thread(target=run, name="anymal-load", daemon=True).start()

    def use(self, backend: Backend) -> None:
        """Answer with this model from now on."""
        self._backend = backend
        logger.info("%s is ready", backend.name)

    @property
    def backend(self) -> Backend:
        """The model.

        Raises:
            NotReady: If it is still loading, or could not be loaded.
        """
        if self.failure is not None:
            raise NotReady(f"the model could not be loaded: {self.failure}")
        if self._backend is None:
            raise NotReady("the model is still loading; try again in a few seconds")
        return self._backend

    def close(self) -> None:
        """Stop the engine."""
        if self._backend is not None:
            self._backend.engine.close()

    async def answer(self, request: ChatCompletionRequest) -> AsyncGenerator[Event]:
        """Answer a request.

        Args:
            request: A validated request.

        Yields:
            The engine's events, the last of them `Finished` or `Failed`. Closing the generator,
            or cancelling its task, cancels the request.

        Raises:
            NotReady: If there is no model yet.
            ModelNotFound: If another model was asked for.
            EngineBusy: If the house is full.
            AnymalError: If the conversation or its media are refused.
        """
        backend = self.backend
        if request.model not in (None, backend.name):
            raise ModelNotFound(
                f"model {request.model!r} is not served here; served: {backend.name!r}"
            )
        sampling = self._sampling(request)
        with self._admitted():
            sample = await anyio.to_thread.run_sync(
                backend.process, Conversation(messages=request.messages), limiter=self._processing
            )
            prompt = await anyio.to_thread.run_sync(backend.soften, sample)
            mailbox = _Mailbox()
            ticket = backend.engine.start(prompt, sampling, mailbox.put)
            try:
                is_open = True
                while is_open:
                    event = await mailbox.get()
                    is_open = isinstance(event, TextDelta)
                    yield event
            finally:
                ticket.cancel()

    def _sampling(self, request: ChatCompletionRequest) -> Sampling:
        limit = request.token_limit or min(self._default_tokens, self._max_tokens)
        if limit > self._max_tokens:
            message = f"max_tokens is {limit}; this service allows up to {self._max_tokens}"
            raise BadRequest(Refusal(message=message, param="max_tokens", code="too_large"))
        return Sampling(
            max_tokens=limit,
            temperature=request.temperature,
            top_p=request.top_p,
            stop=request.stop_strings,
            seed=request.seed,
        )

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count the request; media are decoded before the engine's own queue is reached."""
        if self._num_requests >= self._max_requests:
            raise EngineBusy(
                f"{self._num_requests} requests are in the house, as many as may; try again later"
            )
        self._num_requests += 1
        try:
            yield
        finally:
            self._num_requests -= 1


class _Mailbox:
    """Carries events from the engine's thread into the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Called on the engine's thread."""
        # NOTE: a loop that closed meanwhile has nobody left to tell.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def get(self) -> Event:
        """Called in the event loop."""
        return await self._events.get()
