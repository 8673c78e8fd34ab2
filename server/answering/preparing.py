"""A conversation to a prompt: decoding and encoding, off the event loop, each at its places.

Does not admit requests and does not measure time; who waits here is cancelled from outside. A place
is given back when its work has really ended, and not when its caller has left.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from anymal.chat.given import GivenAnswers
from anymal.decoding.medium import decode_medium
from anymal.decoding.pool import DecoderPool, DecodingStopped
from anymal.engine.given import Given
from anymal.engine.prompt import Owner, Prompt
from anymal.engine.score import ToScore
from anymal.errors import AnymalError
from anymal.protocol.conversation import Conversation
from anymal.protocol.explain import BodyProblem
from server.answering.turns import Turns
from server.errors import BadRequest
from server.served.models import Backend

if TYPE_CHECKING:  # the app starts without torch
    from anymal.sample import Sample

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Preparing:
    """The places of a service where prompts are prepared."""

    def __init__(
        self,
        *,
        places: int,
        decoders: DecoderPool | None = None,
        are_shared: Callable[[], bool] = lambda: False,
    ) -> None:
        """Starts nothing.

        Args:
            places: How many prompts may be prepared at once, not counting those being decoded.
            are_shared: Whether there can be more than one caller; see `Turns`.
            decoders: Processes that decode media, one for each place of decoding. With None, the
                threads of this process do, one at a time, and cannot be stopped.
        """
        self._decoders = decoders
        # Memory is bounded per decoded file, not in total. Text does not wait for these places, and
        # encoders batch what is waiting for them.
        num_decoders = 1 if decoders is None else decoders.workers
        self._decoding = Turns(num_decoders, are_shared=are_shared)
        self._preparing = anyio.CapacityLimiter(places)
        self._threads = anyio.CapacityLimiter(math.inf)

    async def prompt(self, backend: Backend, conversation: Conversation, owner: Owner) -> Prompt:
        """Process a conversation; if this is cancelled, decoding ends at once.

        Args:
            backend: The model that will answer.
            conversation: What it is asked.
            owner: Who asks.

        Raises:
            AnymalError: If the conversation or its media are refused.
        """
        _, prompt = await self._sample_and_prompt(backend, conversation, owner)
        return prompt

    async def prompt_and_answers(
        self, backend: Backend, conversation: Conversation, answers: GivenAnswers, owner: Owner
    ) -> tuple[Prompt, Given]:
        """Process a conversation and answers to grade after it; see `prompt`."""
        sample, prompt = await self._sample_and_prompt(backend, conversation, owner, answers)
        return prompt, Given(answers=sample.answers)

    async def prompt_to_score(
        self, backend: Backend, conversation: Conversation, facts: Sequence[str], owner: Owner
    ) -> tuple[Prompt, ToScore]:
        """Process an answer that a reward model grades; see `prompt`.

        Raises:
            BadRequest: If the model is no reward model.
            ConversationError: If it ends with no answer, or facts are missing or have no place.
        """
        grading, read = backend.grading, backend.read_reward
        if grading is None or read is None:
            message = f"the model {backend.name!r} reads no reward; ask one with readouts.reward"
            raise BadRequest(BodyProblem(message=message, param="model", code="no_reward"))
        shown = grading(conversation, facts)
        if not grading.is_asked:
            backend = replace(backend, to_sample=partial(backend.to_sample, generate=False))
        return await self.prompt(backend, shown, owner), ToScore(read=read)

    async def _sample_and_prompt(
        self, backend: Backend, conversation: Conversation, owner: Owner, *answers: GivenAnswers
    ) -> tuple["Sample", Prompt]:
        if not _has_media(conversation):

            def make() -> tuple["Sample", Prompt]:
                sample = backend.to_sample(conversation, decode_medium, *answers)
                return sample, backend.to_prompt(sample, owner)

            return await self.on_thread(make)
        decode, stop = decode_medium, _cannot_stop
        if self._decoders is not None:
            errand = self._decoders.errand()
            decode, stop = errand.decode, errand.stop
        to_sample = partial(backend.to_sample, conversation, decode, *answers)
        async with self._decoding.turn(owner.name):
            sample = await self._to_its_end(to_sample, stop)
        return sample, await self.on_thread(partial(backend.to_prompt, sample, owner))

    async def on_thread(self, work: Callable[[], Result]) -> Result:
        """Do some work on a thread, when there is a place; if this is cancelled, it still ends."""
        async with self._preparing:
            return await self._to_its_end(work, _cannot_stop)

    def start(self) -> None:
        """Start the processes that decode, which otherwise start with the first media."""
        if self._decoders is not None:
            self._decoders.start()

    def close(self) -> None:
        """End the processes that decode."""
        if self._decoders is not None:
            self._decoders.close()

    async def _to_its_end(self, work: Callable[[], Result], stop: Callable[[], None]) -> Result:
        """Do some work on a thread; if this is cancelled, stop the work and wait for its end.

        So whatever the caller holds (a place, its admission, a lease of the model) is held until
        nothing uses it any more.
        """
        running = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=self._threads))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            stop()
            with anyio.CancelScope(shield=True):
                await _ended(running)
            raise


def _cannot_stop() -> None:
    """For work on a thread, which ends when it ends."""


async def _ended(running: asyncio.Future[Result]) -> None:
    """Wait for the end of some work, however often this task is cancelled meanwhile."""
    while not running.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([running])
    error = None if running.cancelled() else running.exception()
    if error is not None and not isinstance(error, DecodingStopped | AnymalError):
        logger.error("work whose caller had left failed", exc_info=error)


def _has_media(conversation: Conversation) -> bool:
    return any(message.media for message in conversation.messages)
