"""Brings a request to an engine and its events back: admission, processing, cancellation.

Does not know HTTP, and does not keep the models (`models`) or mix answers (`answers`).
"""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial

from anymal.chat.given import GivenAnswers
from anymal.decoding.pool import DecoderPool
from anymal.engine.events import Event, Failed, Likelihoods, Score
from anymal.engine.given import Given
from anymal.engine.prompt import EmbeddingSpan, Owner, Prompt, SideSpan
from anymal.engine.score import ToScore
from anymal.errors import AnymalError
from anymal.protocol.conversation import Conversation, Message
from anymal.protocol.requests import (
    ChatCompletionRequest,
    ConversationRequest,
    LikelihoodRequest,
    ScoreRequest,
)
from server.answering.answers import Piece, Withheld, answers, samplings_of
from server.answering.checking import (
    check_answers,
    check_conversation,
    check_request,
    guard_for,
    pass_on,
)
from server.answering.places import Places
from server.answering.preparing import Preparing
from server.answering.sampling import sampling_of
from server.answering.stopping import until
from server.answering.stopwatch import Stopwatch
from server.edge.keys import ANONYMOUS, Caller
from server.local_media import LocalMedia
from server.metrics import Metrics
from server.remote_media import RemoteMedia
from server.safety import Checks
from server.served.models import Backend, Models

logger = logging.getLogger(__name__)


class Worker:
    """Admits requests, and runs them to their end.

    Attributes:
        models: What is served.
        failure: Why the first model could not be loaded, if it could not.
    """

    def __init__(
        self,
        *,
        places: Places,
        default_tokens: int,
        max_tokens: int,
        request_seconds: float = 600.0,
        checks: Checks | None = None,
        metrics: Metrics | None = None,
        remote_media: RemoteMedia | None = None,
        local_media: LocalMedia | None = None,
        decoders: DecoderPool | None = None,
        shares_caches: bool = False,
    ) -> None:
        """Holds no model yet.

        Args:
            places: Say how many answers may be in progress, and whose.
            default_tokens: Token limit of a request that sets none.
            max_tokens: Largest limit that a request may set.
            request_seconds: How long a request may take, in seconds.
            checks: What may be asked and said; None checks nothing.
            metrics: Where to note tokens and times.
            remote_media: Fetches media from other hosts; None refuses them.
            local_media: Reads media of this machine; None refuses them.
            decoders: Processes that decode media; with None, the threads of this one do, one at a
                time, and cannot be stopped.
            shares_caches: Whether callers find each other's prompts and media in the caches.
        """
        self._places = places
        self._default_tokens = default_tokens
        self._max_tokens = max_tokens
        self._request_seconds = request_seconds
        self._checks = checks or Checks()
        self._metrics = metrics or Metrics()
        self._remote_media = remote_media
        self._local_media = local_media
        self._shares_caches = shares_caches
        self._preparing = Preparing(
            places=places.number, decoders=decoders, are_shared=places.are_shared
        )
        self.models = Models()
        self.failure: Exception | None = None

    # --- models ---------------------------------------------------------------------------------

    def load_in_background(
        self, load: Callable[[], Backend], on_failure: Callable[[], None] = lambda: None
    ) -> None:
        """Load the first model on a thread of its own; `models` has it once it is ready."""

        def run() -> None:
            try:
                self._preparing.start()
                self.use(load())
            except Exception as error:  # the thread's edge: `failure` keeps what happened
                self.failure = error
                self.models.why_none = f"the model could not be loaded: {error}"
                if not isinstance(error, AnymalError):
                    logger.exception("the model could not be loaded")
                on_failure()

        threading.Thread(target=run, name="anymal-load", daemon=True).start()

    def use(self, backend: Backend) -> None:
        """Answer with this model from now on."""
        self.models.put(backend)

    def close(self) -> None:
        """Stop decoding and the engines."""
        self._preparing.close()
        self.models.close()

    # --- requests -------------------------------------------------------------------------------

    async def answer(
        self, request: ChatCompletionRequest, caller: Caller = ANONYMOUS
    ) -> AsyncGenerator[Piece]:
        """Answer a request.

        Args:
            request: A validated request.
            caller: Who asks.

        Yields:
            The events of its answers, each ended by `Finished` or `Withheld`, or all of them by
            `Failed`. Closing the generator, or cancelling its task, cancels the request.

        Raises:
            NotReady: If there is no model yet.
            ModelNotFound: If the model that was asked for is not served.
            EngineBusy: If too many answers are in progress.
            RateLimited: If too many of them are the caller's.
            ContentRefused: If a check refuses what is asked.
            TimedOut: If it takes too long.
            AnymalError: If the conversation or its media are refused.
        """
        clock = Stopwatch(self._metrics)
        deadline = asyncio.get_running_loop().time() + self._request_seconds
        sampling = sampling_of(
            request,
            default=self._default_tokens,
            most=self._max_tokens,
            most_answers=self._places.number,
        )
        with self.models.lease(request.model) as backend, self._places.admit(caller, request.n):
            with until(deadline):
                conversation = await self._fetched(_conversation_of(request))
                request = request.model_copy(update={"messages": conversation.messages})
                await check_request(self._checks, request)
                prompt = await self._preparing.prompt(backend, conversation, self._owner(caller))
            pieces = answers(
                backend.engine,
                prompt,
                samplings_of(sampling, request.n),
                deadline=deadline,
                guard=guard_for(self._checks, conversation, prompt),
            )
            async with aclosing(pieces):
                async for piece in pieces:
                    clock.note(piece)
                    yield piece

    async def likelihood(
        self, request: LikelihoodRequest, caller: Caller = ANONYMOUS
    ) -> Likelihoods:
        """Tell how likely given answers are; the request holds one place, as one answer does.

        Raises:
            Exception: As `answer` does.
        """
        given = GivenAnswers(texts=tuple(request.answers), with_end=request.include_end)

        async def prepare(backend: Backend, conversation: Conversation) -> tuple[Prompt, Given]:
            await check_answers(self._checks, request.answers)
            return await self._preparing.prompt_and_answers(
                backend, conversation, given, self._owner(caller)
            )

        event = await self._told(request, caller, prepare)
        assert isinstance(event, Likelihoods), "the only event of given answers"
        return event

    async def score(self, request: ScoreRequest, caller: Caller = ANONYMOUS) -> Score:
        """Grade the answer that ends a conversation; the request holds one place.

        Raises:
            BadRequest: If the model is no reward model.
            Exception: As `answer` does.
        """

        async def prepare(backend: Backend, conversation: Conversation) -> tuple[Prompt, ToScore]:
            await check_answers(self._checks, request.facts, place="facts")
            return await self._preparing.prompt_to_score(
                backend, conversation, request.facts, self._owner(caller)
            )

        event = await self._told(request, caller, prepare)
        assert isinstance(event, Score), "the only event of a score"
        return event

    async def _told(
        self,
        request: ConversationRequest,
        caller: Caller,
        prepare: Callable[[Backend, Conversation], Awaitable[tuple[Prompt, Given | ToScore]]],
    ) -> Event | Withheld:
        """The one event of a request that gets no answer."""
        clock = Stopwatch(self._metrics)
        deadline = asyncio.get_running_loop().time() + self._request_seconds
        with self.models.lease(request.model) as backend, self._places.admit(caller, 1):
            with until(deadline):
                conversation = await self._fetched(_conversation_of(request))
                await check_conversation(self._checks, conversation)
                prompt, wanted = await prepare(backend, conversation)
            pieces = answers(backend.engine, prompt, [wanted], deadline=deadline, guard=pass_on)
            async with aclosing(pieces):
                piece = await anext(pieces)
            clock.note(piece)
        if isinstance(piece.event, Failed):
            raise piece.event.error
        return piece.event

    async def align(
        self, message: Message, model: str | None = None, caller: Caller = ANONYMOUS
    ) -> EmbeddingSpan | SideSpan:
        """Turn a medium into soft tokens.

        Args:
            message: That carries it alone, or with the words that its aligner reads.
            model: A served model; None takes the default.
            caller: Who asks.

        Returns:
            Its soft tokens.

        Raises:
            NotReady: If there is no model yet.
            ModelNotFound: If the model that was asked for is not served.
            EngineBusy: If too many answers are in progress.
            RateLimited: If too many of them are the caller's.
            ContentRefused: If a check refuses the medium.
            TimedOut: If it takes too long.
            AnymalError: If the medium is refused.
        """
        deadline = asyncio.get_running_loop().time() + self._request_seconds
        conversation = Conversation(messages=[message])
        with (
            self.models.lease(model) as backend,
            self._places.admit(caller, 1),
            until(deadline),
        ):
            conversation = await self._fetched(conversation)
            await check_conversation(self._checks, conversation)
            prompt = await self._preparing.prompt(backend, conversation, self._owner(caller))
        media = (each for each in prompt.spans if isinstance(each, EmbeddingSpan | SideSpan))
        (soft,) = media
        return soft

    async def _fetched(self, conversation: Conversation) -> Conversation:
        """The conversation with media from elsewhere inside, so that checks see them too."""
        if self._local_media is not None:
            read = partial(self._local_media.inline, conversation)
            conversation = await self._preparing.on_thread(read)
        if self._remote_media is None:
            return conversation
        return await self._remote_media.inline(conversation)

    def _owner(self, caller: Caller) -> Owner:
        """Whose prompts and media they are, to the caches."""
        return Owner(name=caller.name, scope="" if self._shares_caches else caller.scope)


def _conversation_of(request: ConversationRequest) -> Conversation:
    """Its messages, which are valid; to check very many once more would hold up the event loop."""
    return Conversation.model_construct(messages=request.messages)
