"""Who takes part in a step, and with how much."""

from collections.abc import Callable
from typing import Any

import pytest

from anymal.engine.blocks import Blocks, Fingerprints
from anymal.engine.prompt import Prompt, TokenSpan
from anymal.engine.request import Request
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget, Scheduler

Make = Callable[..., Request]


def request(length: int, *, first: int = 0, limit: int = 100) -> Request:
    prompt = Prompt(spans=(TokenSpan(ids=tuple(range(first, first + length))),))
    nothing: Any = None
    return Request(
        prompt=prompt,
        sampling=Sampling(),
        emit=nothing,
        limit=limit,
        reply=nothing,
        fingerprints=Fingerprints(prompt, root=b""),
    )


def scheduler(num_blocks: int = 100, **budget: int) -> Scheduler:
    sizes = {"step_tokens": 64, "beside_decode": 16} | budget
    return Scheduler(Blocks(num_blocks), Budget(**sizes))


def go(scheduler: Scheduler) -> list[tuple[Request, int]]:
    """Carry a plan out; returns who computed how much."""
    works = scheduler.plan()
    for work in works:
        is_complete = work.is_complete
        scheduler.computed(work)
        if is_complete:
            scheduler.append(work.request, 7)
    return [(work.request, work.stop - work.start) for work in works]


def test_prompts_go_in_chunks_and_beside_answers_in_small_ones() -> None:
    plan, long, short = scheduler(), request(100), request(20, first=500)
    plan.add(long)
    assert go(plan) == [(long, 64)]
    assert go(plan) == [(long, 36)]
    plan.add(short)
    assert go(plan) == [(long, 1), (short, 16)]
    assert go(plan) == [(long, 1), (short, 4)]
    assert go(plan) == [(long, 1), (short, 1)]


def test_short_prompt_does_not_wait_for_the_end_of_a_long_one() -> None:
    plan, long, short = scheduler(), request(150), request(20, first=500)
    plan.add(long)
    go(plan)
    plan.add(short)
    assert go(plan) == [(long, 64)]  # admitted once a step has room for it
    plan, long, short = scheduler(), request(50), request(120, first=500)
    plan.add(long)
    plan.add(short)
    assert [size for _, size in go(plan)] == [32, 32]


def test_first_come_first_served_when_blocks_are_scarce() -> None:
    plan = scheduler(num_blocks=9)  # eight to give
    first, large, small = request(64, limit=40), request(80, first=200, limit=9), request(5)
    for each in (first, large, small):
        plan.add(each)
    assert go(plan) == [(first, 64)]
    assert list(plan.waiting) == [large, small]


def test_known_prefix_is_not_computed_but_its_last_position_is() -> None:
    plan = scheduler(beside_decode=64)
    plan.add(request(32))
    go(plan)
    again, longer = request(32), request(40)
    plan.add(again)
    plan.add(longer)
    assert sorted(size for _, size in go(plan)) == [1, 8, 16]
    assert (again.num_cached, longer.num_cached) == (16, 32)
    assert (plan.num_queried, plan.num_hit) == (32 + 32 + 40, 16 + 32)


def test_equal_prompts_are_computed_once() -> None:
    plan = scheduler()
    first, second = request(40), request(40)
    plan.add(first)
    plan.add(second)
    assert go(plan) == [(first, 40)]
    assert go(plan) == [(first, 1), (second, 8)]


def test_youngest_gives_its_blocks_back_and_comes_first_again() -> None:
    plan = scheduler(num_blocks=6)  # five to give
    old, young = request(30, limit=40), request(30, first=200, limit=40)
    waits = request(30, first=400, limit=40)
    for each in (old, young):
        plan.add(each)
    go(plan)
    plan.add(waits)
    for _ in range(20):
        if plan.num_preemptions:
            break
        go(plan)
    assert plan.running == [old]
    assert list(plan.waiting) == [young, waits]
    assert young.blocks == []
    assert young.ids == [7, 7, 7]
    plan.finish(old)
    # What it had computed is still there, all but the block that was not whole.
    assert go(plan)[0] == (young, 1)


def test_cancelled_requests_leave_and_their_blocks_are_free() -> None:
    plan = scheduler()
    running, waiting = request(20), request(20, first=100)
    plan.add(running)
    go(plan)
    plan.add(waiting)
    for each in (running, waiting):
        each.ticket.cancel()
    assert plan.drop_cancelled() == [running]
    assert plan.is_idle
    assert plan.blocks.num_available == plan.blocks.total


@pytest.mark.parametrize("max_running", [1, 2])
def test_no_more_run_than_may(max_running: int) -> None:
    plan = scheduler(max_running=max_running)
    for number in range(3):
        plan.add(request(4, first=10 * number))
    assert len(go(plan)) == max_running
