"""How a step is shared between owners."""

import random
from collections import Counter
from typing import Any

import pytest

from anymal.engine.blocks import BLOCK_SIZE, Blocks
from anymal.engine.prompt import Owner, Prompt, TokenSpan
from anymal.engine.request import Request
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget, Scheduler
from anymal.engine.step_cost import StepCost
from anymal.engine.turns import fair_shares


def request(length: int, *, owner: str, limit: int = 100) -> Request:
    prompt = Prompt(
        spans=(TokenSpan(ids=tuple(range(length))),), owner=Owner(name=owner, scope=owner)
    )
    nothing: Any = None
    return Request(prompt=prompt, sampling=Sampling(), emit=nothing, limit=limit, reply=nothing)


def go(scheduler: Scheduler, seconds_of: Any = None) -> Counter[str]:
    """Carry a plan out; returns how many positions of each owner were computed."""
    works = scheduler.plan()
    sizes: Counter[str] = Counter()
    for work in works:
        is_complete = work.is_complete
        scheduler.computed(work)
        if is_complete:
            scheduler.append(work.request, 7)
        sizes[work.request.owner] += work.stop - work.start
    if seconds_of is not None:
        scheduler.cost.note(sizes.total(), seconds_of(sizes.total()))
    return sizes


@pytest.mark.parametrize(
    ("room", "wanted", "shares"),
    [
        (9, {"a": 31, "b": 1}, {"a": 8, "b": 1}),
        (9, {"a": 31, "b": 31}, {"a": 5, "b": 4}),
        (1, {"a": 31, "b": 1}, {"a": 1, "b": 0}),
        (90, {"a": 3, "b": 1}, {"a": 3, "b": 1}),
        (7, {"a": 31, "b": 31, "c": 1}, {"a": 3, "b": 3, "c": 1}),
        (0, {"a": 3}, {"a": 0}),
        (5, {}, {}),
    ],
)
def test_shares_by_hand(room: int, wanted: dict[str, int], shares: dict[str, int]) -> None:
    assert fair_shares(room, wanted) == shares


def test_nobody_gets_less_than_who_wants_more() -> None:
    chance = random.Random(0)
    for _ in range(500):
        room = chance.randrange(60)
        wanted = {name: chance.randrange(40) for name in range(chance.randrange(1, 6))}
        shares = fair_shares(room, wanted)
        assert sum(shares.values()) == min(room, sum(wanted.values()))
        for name, share in shares.items():
            assert share <= wanted[name]
            if share < wanted[name]:
                assert all(share >= other - 1 for other in shares.values())


def test_size_is_not_known_before_it_was_seen() -> None:
    cost = StepCost()
    assert cost.most(1, 2) == 1  # to measure it
    cost.note(1, 1.0)
    cost.note(3, 1.1)
    cost.note(31, 2.5)
    # Up to 15 positions nothing is known to be too slow.
    assert cost.most(1, 2) == 15
    assert cost.most(1, 3) == 2**20 - 1
    assert cost.most(10, 2) == 10


def test_step_takes_no_longer_than_in_proportion() -> None:
    cost = StepCost()
    cost.note(1, 1.0)
    cost.note(2, 100.0)
    assert cost.most(1, 5) == 5


def test_size_is_measured_again_after_a_while() -> None:
    cost = StepCost()
    cost.note(1, 1.0)
    for _ in range(300):
        cost.note(40, 9.0)
    assert cost.most(1, 2) == 1


def test_flood_leaves_half_the_time_where_time_grows_with_size() -> None:
    def seconds(size: int) -> float:
        return 1.0 + 0.5 * size

    plan = Scheduler(Blocks(1000), Budget())
    for _ in range(31):
        plan.add(request(5, owner="flood", limit=1000))
    for _ in range(20):
        go(plan, seconds)
    plan.add(request(5, owner="one", limit=1000))
    went = waited = 0.0
    while went < 100:
        sizes = go(plan, seconds)
        went += sizes["one"]
        waited += seconds(sizes.total())
        assert len(plan.running) == 32
    quiet = 100 * seconds(1)
    assert waited <= 2.2 * quiet
    assert min(len(each.ids) for each in plan.running if each.owner == "flood") > 20


def test_flood_goes_on_where_larger_steps_cost_nothing() -> None:
    plan = Scheduler(Blocks(1000), Budget())
    for owner in ["flood"] * 31 + ["one"]:
        plan.add(request(5, owner=owner, limit=1000))
    sizes: Counter[str] = Counter()
    for _ in range(300):
        sizes += go(plan, lambda size: 1.0)
    assert sizes["one"] > 290
    assert sizes["flood"] > 31 * 280


def test_latecomer_takes_the_place_of_the_greatest_owner() -> None:
    plan = Scheduler(Blocks(1000), Budget(max_running=4))
    flood = [request(5, owner="flood") for _ in range(8)]
    for each in flood:
        plan.add(each)
    go(plan)
    for _ in range(3):
        plan.add(request(5, owner="one"))
    go(plan)
    assert Counter(each.owner for each in plan.running) == {"flood": 2, "one": 2}
    assert plan.num_preemptions == 2
    assert [each for each in plan.waiting if each.owner == "flood"][:2] == flood[2:4]
    for _ in range(20):
        go(plan)
    assert plan.num_preemptions == 2  # and nobody is thrown out again


def test_latecomer_takes_blocks_of_the_greatest_owner() -> None:
    plan = Scheduler(Blocks(21), Budget(step_tokens=512))
    for _ in range(4):
        plan.add(request(70, owner="flood", limit=5))
    go(plan)
    plan.add(request(60, owner="one", limit=5))
    go(plan)
    assert "one" in {each.owner for each in plan.running}


def test_waiting_owners_are_admitted_in_turn() -> None:
    plan = Scheduler(Blocks(1000), Budget(max_running=3))
    for owner in ["a"] * 5 + ["b"] * 2 + ["c"]:
        plan.add(request(5, owner=owner))
    go(plan)
    assert Counter(each.owner for each in plan.running) == {"a": 1, "b": 1, "c": 1}


def test_prompts_of_a_flood_do_not_hold_up_another_prompt() -> None:
    plan = Scheduler(Blocks(1000), Budget(step_tokens=64, beside_decode=16))
    for _ in range(4):
        plan.add(request(400, owner="flood"))
    go(plan)
    plan.add(request(30, owner="one"))
    total: Counter[str] = Counter()
    for _ in range(4):
        total += go(plan, float)
    assert total["one"] >= 30


@pytest.mark.parametrize("seed", range(40))
def test_any_crowd_is_served_to_its_end(seed: int) -> None:
    chance = random.Random(seed)
    plan = Scheduler(
        Blocks(chance.randrange(14, 40)),
        Budget(max_running=chance.randrange(1, 9), step_tokens=64, beside_decode=16),
    )
    left = [
        request(chance.randrange(1, 150), owner=chance.choice("abc"), limit=chance.randrange(1, 40))
        for _ in range(30)
    ]
    unfinished = set(left)
    for _ in range(20_000):
        if left and chance.random() < 0.3:
            plan.add(left.pop())
        works = plan.plan()
        assert bool(works) != plan.is_idle
        for work in works:
            assert work.request in plan.running
            assert work.stop <= BLOCK_SIZE * len(work.request.blocks)
            is_complete = work.is_complete
            plan.computed(work)
            if is_complete:
                plan.append(work.request, 7)
                if len(work.request.ids) == work.request.limit:
                    plan.finish(work.request)
                    unfinished.remove(work.request)
        positions = sum(work.stop - work.start for work in works)
        if works:
            plan.cost.note(positions, chance.uniform(0.5, 2) * (1 + positions))
        if not unfinished:
            break
    assert not unfinished
    assert plan.is_idle
    assert plan.blocks.num_available == plan.blocks.total
