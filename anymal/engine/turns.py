"""What each request may compute in a step, where several owners want more than there is room for.

Does not know blocks, and does not choose who runs: `scheduler` does.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from anymal.engine.request import Request, Work
from anymal.engine.step_cost import StepCost

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What running requests want of a step.

    Attributes:
        decoding: Those in the middle of their answers, which want one position each.
        prompts: Those whose prompts are not computed yet.
        room: Most prompt positions of the step.
    """

    decoding: Sequence[Request]
    prompts: Sequence[Request]
    room: int


def share_step(demand: Demand, cost: StepCost) -> list[Work]:
    """Divide a step between owners, and what an owner gets between its requests.

    Requests of one owner all take part. With N owners, a step takes at most N times as long as a
    step of the one who wants least would, so that nobody loses more than by taking turns with the
    others; the larger ones' answers then go on in every second or third step only.

    Args:
        demand: Who wants what.
        cost: How long steps take.

    Returns:
        One stretch for each request that takes part, answers first.
    """
    decoding, prompts = _by_owner(demand.decoding), _by_owner(demand.prompts)
    sizes = {
        owner: sum(request.num_left for request in requests) for owner, requests in prompts.items()
    }
    rooms = fair_shares(demand.room, sizes)
    # Who waited longest comes first, and gets what cannot be divided.
    wanted = {
        owner: len(decoding.get(owner, ())) + rooms.get(owner, 0)
        for owner in _longest_waiting_first([*demand.decoding, *demand.prompts])
    }
    wanted = {owner: number for owner, number in wanted.items() if number > 0}
    shares = wanted
    if len(wanted) > 1:
        shares = fair_shares(cost.most(min(wanted.values()), len(wanted)), wanted)
    answers: list[Work] = []
    chunks: list[Work] = []
    for owner, share in shares.items():
        own = decoding.get(owner, [])
        parts = fair_shares(share, {"answers": len(own), "prompts": rooms.get(owner, 0)})
        own = sorted(own, key=lambda request: request.planned_at)[: parts["answers"]]
        answers += [Work(request=each, start=each.num_computed, stop=each.length) for each in own]
        chunks += _chunks(prompts.get(owner, []), parts["prompts"])
    return answers + chunks


def fair_shares(room: int, wanted: Mapping[Name, int]) -> dict[Name, int]:
    """Divide a number fairly: one who asks for more does not reduce the shares of the others.

    Max-min fairness: those who want less than an equal share get all they want, and the others
    divide the rest (Bertsekas and Gallager, Data Networks, section 6.5.2).

    Args:
        room: What there is to give.
        wanted: How much each one wants. Where something is left that cannot be divided, the first
            get one more.

    Returns:
        How much each one gets, in the order of `wanted`.
    """
    shares = dict.fromkeys(wanted, 0)
    left = room
    while left > 0 and (hungry := [name for name in wanted if shares[name] < wanted[name]]):
        portion = max(1, left // len(hungry))
        for name in hungry:
            given = min(portion, wanted[name] - shares[name], left)
            shares[name] += given
            left -= given
    return shares


def _by_owner(requests: Sequence[Request]) -> dict[str, list[Request]]:
    """Requests in their order, by owner."""
    found: dict[str, list[Request]] = {}
    for request in requests:
        found.setdefault(request.owner, []).append(request)
    return found


def _longest_waiting_first(requests: Sequence[Request]) -> list[str]:
    """Owners by the last step that any of their requests took part in."""
    last = Counter[str]()
    for request in requests:
        last[request.owner] = max(last[request.owner], request.planned_at)
    return sorted(last, key=last.__getitem__)


def _chunks(prompts: Sequence[Request], room: int) -> list[Work]:
    """Stretches of one owner's prompts: half the room for the oldest, then the shortest first.

    So no prompt starves, and a short one does not wait for the end of a long one.
    """
    if not prompts:
        return []
    oldest, *others = prompts
    others.sort(key=lambda request: request.num_left)
    unwanted = room - sum(request.num_left for request in others)
    sizes = [max(room - room // 2, unwanted), *[request.num_left for request in others]]
    works = []
    for request, size in zip((oldest, *others), sizes, strict=True):
        size = min(size, request.num_left, room)
        if size > 0:
            start = request.num_computed
            works.append(Work(request=request, start=start, stop=start + size))
            room -= size
    return works
