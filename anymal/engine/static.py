"""Answers to a fixed set of prompts, all of them known at the start, without a thread or a clock.

The same scheduler and runner as the engine's, stepped by the caller. What is computed together
depends on the prompts alone, so that the same prompts get the same answers to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anymal.engine.arrival import Arrival, requests_of
from anymal.engine.blocks import BLOCK_SIZE, Blocks
from anymal.engine.events import Event
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Drawn
from anymal.engine.request import Request, Work
from anymal.engine.runner import Runner
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget, Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer as tokens.

    Attributes:
        ids: Its tokens, the one that ends it among them.
        has_ended: Whether the model ended it; else it was cut.
    """

    ids: tuple[int, ...]
    has_ended: bool


def answer_all(
    runner: Runner, prompts: Sequence[Prompt], samplings: Sequence[Sampling], *, budget: Budget
) -> list[Said]:
    """Answer prompts.

    Args:
        runner: The model's side.
        prompts: What to continue.
        samplings: How, for each; stop strings and repetitions end no answer here.
        budget: How much one step may hold.

    Returns:
        An answer for each, in order.

    Raises:
        AnymalError: A prompt cannot be answered.
    """
    scheduler = Scheduler(Blocks(runner.num_blocks), budget)
    most = scheduler.blocks.total * BLOCK_SIZE
    requests: list[Request] = []
    for prompt, sampling in zip(prompts, samplings, strict=True):
        arrival = Arrival(prompt=prompt, wanted=sampling, emit=_ignore)
        requests += requests_of(arrival, runner, most_positions=most)
    for request in requests:
        scheduler.add(request)
    said: dict[Request, Said] = {}
    while not scheduler.is_idle:
        works = scheduler.plan()
        for work, result in zip(works, runner.step(works), strict=True):
            if isinstance(result, Exception):
                raise result
            scheduler.computed(work)
            if result is not None:
                assert isinstance(result, Drawn), "a runner draws the tokens of answers"
                _take(scheduler, work, result, said)
    return [said[request] for request in requests]


def _take(scheduler: Scheduler, work: Work, drawn: Drawn, said: dict[Request, Said]) -> None:
    """Add a token to an answer, which may end it."""
    request = work.request
    ids = (*request.ids, drawn.id)
    if drawn.ends or len(ids) == request.limit:
        said[request] = Said(ids=ids, has_ended=drawn.ends)
        scheduler.finish(request)
    else:
        scheduler.append(request, drawn.id)


def _ignore(event: Event) -> None:
    """Nobody listens: an answer is taken when it is whole."""
