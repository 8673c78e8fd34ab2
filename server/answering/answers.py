"""One prompt to several answers: starts them, merges their events, ends them together.

Does not know HTTP, and does not judge what is said; a guard may.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from anymal.engine.base import Engine, Ticket
from anymal.engine.events import Event, Failed, TextDelta, TokenCounts
from anymal.engine.given import Given
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.score import ToScore
from server.errors import TimedOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """The answer ends here because a check refused the rest.

    Attributes:
        message: The reason, for the caller.
        counts: Its token counts; of generated tokens at least those whose text was sent.
    """

    message: str
    counts: TokenCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """An event of one of the answers.

    Attributes:
        index: Which answer.
        event: The event.
    """

    index: int
    event: Event | Withheld

    @property
    def is_last(self) -> bool:
        """Whether its answer has ended."""
        return not isinstance(self.event, TextDelta)


Guard = Callable[[Piece], Awaitable[list[Piece]]]
"""Holds back pieces until they may pass; the last piece of an answer comes out at once."""


def samplings_of(sampling: Sampling, number: int) -> list[Sampling]:
    """Options of several answers that differ in their seeds only, the first as it was given."""
    return [
        sampling
        if index == 0 or sampling.seed is None
        else replace(sampling, seed=_derived(sampling.seed, index))
        for index in range(number)
    ]


async def answers(
    engine: Engine,
    prompt: Prompt,
    samplings: Sequence[Sampling | Given | ToScore],
    *,
    deadline: float,
    guard: Guard,
) -> AsyncGenerator[Piece]:
    """Answer a prompt several times.

    The first answer goes ahead; the others begin with its first event, when the prompt is in the
    engine's prefix cache.

    Args:
        engine: What answers.
        prompt: The prompt.
        samplings: One for each answer; or all the given answers, which end with one event.
        deadline: When all must have ended, on the clock of the event loop.
        guard: What every piece passes.

    Yields:
        Pieces, in the order they came. A `Failed` one is the last of all. Closing the generator,
        or cancelling its task, ends all answers.

    Raises:
        EngineBusy: If the engine's queue is full.
        TimedOut: At the deadline.
    """
    running = _Running(engine=engine, prompt=prompt, samplings=samplings)
    try:
        running.start(1)
        while running.open:
            arrived = await running.mailbox.get(deadline)
            running.start(len(samplings))
            for piece in await running.passed(arrived, guard):
                yield piece
                if isinstance(piece.event, Failed):
                    return
    finally:
        running.cancel()


class _Running:
    """The answers of one prompt.

    Attributes:
        mailbox: Where their events arrive.
        open: The answers that have not ended.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        prompt: Prompt,
        samplings: Sequence[Sampling | Given | ToScore],
    ) -> None:
        self.mailbox = _Mailbox()
        self.open = set(range(len(samplings)))
        self._engine = engine
        self._prompt = prompt
        self._samplings = samplings
        self._tickets: list[Ticket] = []

    def start(self, number: int) -> None:
        """Have this many of them begun."""
        for index in range(len(self._tickets), number):
            emit = partial(self.mailbox.put, index)
            self._tickets.append(self._engine.start(self._prompt, self._samplings[index], emit))

    async def passed(self, arrived: Piece, guard: Guard) -> list[Piece]:
        """The pieces that the guard releases when one arrives."""
        if arrived.index not in self.open:  # on its way when its answer was cut
            return []
        out = await guard(arrived)
        if any(piece.is_last for piece in out):
            self.open.discard(arrived.index)
            self._tickets[arrived.index].cancel()
        return out

    def cancel(self) -> None:
        """End them all."""
        for ticket in self._tickets:
            ticket.cancel()


class _Mailbox:
    """Carries events from the engine's threads into the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()

    def put(self, index: int, event: Event) -> None:
        """Called on a thread of the engine."""
        # NOTE: a loop that was closed meanwhile has no one waiting for the event.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(
                self._pieces.put_nowait, Piece(index=index, event=event)
            )

    async def get(self, deadline: float) -> Piece:
        """Called in the event loop."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._pieces.get()
        except TimeoutError:
            raise TimedOut(
                "the answer took longer than this service allows; ask for fewer tokens, or raise "
                "the service's request_seconds"
            ) from None


def _derived(seed: int, index: int) -> int:
    """A seed that neither another index nor another seed is likely to give."""
    digest = hashlib.sha256(f"{seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # engines take 63 bits
