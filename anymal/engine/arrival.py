"""What arrives at an engine, and the requests that become of it: one for each answer.

Does not schedule. Torch-free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from anymal.engine.base import Ticket
from anymal.engine.blocks import Fingerprints
from anymal.engine.events import Event
from anymal.engine.given import Given, GivenReply, Tally, read_up_to_the_last
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Reply
from anymal.engine.request import Request
from anymal.engine.runner import Runner
from anymal.engine.sampling import Sampling
from anymal.engine.score import ScoreReply, ToScore
from anymal.errors import EngineError, TooLong


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrival:
    """What the engine's thread has not seen yet."""

    prompt: Prompt
    wanted: Sampling | Given | ToScore
    emit: Callable[[Event], None]
    ticket: Ticket = field(default_factory=Ticket)


def requests_of(arrival: Arrival, runner: Runner, *, most_positions: int) -> list[Request]:
    """Make requests of an arrival; those of several given answers share its ticket.

    Args:
        arrival: What came.
        runner: What will compute it.
        most_positions: Of a sequence, as far as there are blocks.

    Raises:
        AnymalError: If it cannot be computed.
    """
    runner.check(arrival.prompt)
    if len(arrival.prompt) == 0:
        raise EngineError("the prompt is empty; give at least one token")
    most = min(runner.context, most_positions)
    if isinstance(arrival.wanted, Given):
        return _graded(arrival, arrival.wanted, runner, most)
    if isinstance(arrival.wanted, ToScore):
        return [_scored(arrival, arrival.wanted, runner, most)]
    return [_drawn(arrival, arrival.wanted, runner, most)]


def _drawn(arrival: Arrival, sampling: Sampling, runner: Runner, most: int) -> Request:
    prompt = arrival.prompt
    return Request(
        prompt=prompt,
        sampling=sampling,
        emit=arrival.emit,
        ticket=arrival.ticket,
        limit=min(sampling.max_tokens, _room(prompt, most)),
        reply=Reply(runner.vocabulary, prompt, sampling),
        fingerprints=_fingerprints(prompt, runner),
    )


def _scored(arrival: Arrival, wanted: ToScore, runner: Runner, most: int) -> Request:
    _room(arrival.prompt, most)
    return Request(
        prompt=arrival.prompt,
        emit=arrival.emit,
        ticket=arrival.ticket,
        limit=0,
        reply=ScoreReply(arrival.prompt),
        reads=wanted.read,
        fingerprints=_fingerprints(arrival.prompt, runner),
    )


def _graded(arrival: Arrival, given: Given, runner: Runner, most: int) -> list[Request]:
    tally = Tally(arrival.prompt, given)

    def emit(event: Event) -> None:
        """Pass on the first event, which ends them all: there is one for all answers."""
        if not arrival.ticket.is_cancelled:
            arrival.ticket.cancel()
            arrival.emit(event)

    requests = []
    for index, ids in enumerate(given.answers):
        prompt = read_up_to_the_last(arrival.prompt, ids)
        runner.check(prompt)
        _room(prompt, most)
        requests.append(
            Request(
                prompt=prompt,
                emit=emit,
                ticket=arrival.ticket,
                limit=0,
                reply=GivenReply(tally, index),
                given=ids,
                fingerprints=_fingerprints(prompt, runner),
            )
        )
    return requests


def _room(prompt: Prompt, most: int) -> int:
    """How many tokens fit behind a prompt."""
    length = len(prompt)
    if length >= most:
        raise TooLong(
            f"the prompt has {length} tokens and fills the model's context of "
            f"{most}; shorten the text or send fewer media"
        )
    return most - length


def _fingerprints(prompt: Prompt, runner: Runner) -> Fingerprints | None:
    if runner.root is None:
        return None
    return Fingerprints(prompt, root=runner.root, reads_ahead=runner.reads_ahead)
