"""What to compute in the next step: decode first, then prompts in chunks, as blocks allow.

Does not compute: the engine asks it for a plan, carries it out, and reports the results. Does not
import torch.
"""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from anymal.engine.blocks import BLOCK_SIZE, Blocks, blocks_for
from anymal.engine.request import Request, Work
from anymal.engine.step_cost import StepCost
from anymal.engine.turns import Demand, share_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much one step may hold.

    Attributes:
        max_running: Most requests that hold blocks at once.
        step_tokens: Most positions of a step in which no answer is in progress.
        beside_decode: Most prompt positions of a step in which answers are: they delay these.
    """

    max_running: int = 32
    step_tokens: int = 512
    beside_decode: int = 48


class Scheduler:
    """Keeps the order of requests, and their blocks.

    Owners take turns (see `turns`); of one owner, the first come is the first served. A request is
    admitted when its prompt's blocks are available, and no later one before it. Where another owner
    holds more than it needs, the youngest of the other's requests gives its blocks back, waits at
    the front, and is computed again. So does the youngest of the owner who holds most when blocks
    run out in the middle of answers.
    """

    def __init__(self, blocks: Blocks, budget: Budget) -> None:
        """Starts empty.

        Args:
            blocks: All blocks; only the scheduler takes them.
            budget: Limits of a step.
        """
        self.blocks = blocks
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []  # in the order of their arrival
        self.cost = StepCost()
        self.num_preemptions = 0
        self.num_queried = 0
        self.num_hit = 0
        self._budget = budget
        self._num_plans = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.running

    def add(self, request: Request) -> None:
        """Let a request wait; it must fit into all blocks together."""
        assert blocks_for(request.prompt_length + request.limit) <= self.blocks.total
        self.waiting.append(request)

    def drop_cancelled(self) -> list[Request]:
        """Forget requests that were given up; returns those that ran."""
        self.waiting = deque(r for r in self.waiting if not r.ticket.is_cancelled)
        dropped = [request for request in self.running if request.ticket.is_cancelled]
        for request in dropped:
            self.finish(request)
        return dropped

    def plan(self) -> list[Work]:
        """The next step, one stretch for each request that takes part; empty only when idle."""
        decoding = self._grow()
        left = self._budget.beside_decode if decoding else self._budget.step_tokens
        self._admit(left)  # perhaps in the place of one that was to go on
        going = set(decoding) & set(self.running)
        decoding = [request for request in decoding if request in going]
        # A prompt whose blocks were all found but for one position counts as a prompt all the same.
        prompts = [request for request in self.running if request not in going]
        works = share_step(Demand(decoding=decoding, prompts=prompts, room=left), self.cost)
        self._num_plans += 1
        for work in works:
            work.request.planned_at = self._num_plans
        return works

    def computed(self, work: Work) -> None:
        """A stretch was computed: its whole blocks can be found from now on."""
        request = work.request
        whole = range(work.start // BLOCK_SIZE, work.stop // BLOCK_SIZE)
        request.num_computed = work.stop
        if request.fingerprints is not None:
            for index in whole:
                self.blocks.publish(request.blocks[index], request.fingerprints.digests[index])

    def append(self, request: Request, id_: int) -> None:
        """A token was drawn, and the answer goes on."""
        request.ids.append(id_)
        if request.fingerprints is not None:
            request.fingerprints.extend([id_])

    def finish(self, request: Request) -> None:
        """A running request ended, one way or another: its blocks are others'."""
        self.running.remove(request)
        self._give_back(request)

    # --- blocks ---------------------------------------------------------------------------------

    def _grow(self) -> list[Request]:
        """Requests in the middle of their answers, oldest first, each with room for a position."""
        decoding: list[Request] = []
        for request in list(self.running):
            if request.num_left != 1 or request not in self.running:
                continue
            if blocks_for(request.length) > len(request.blocks):
                while self.blocks.num_available == 0:
                    self._preempt()
                if request not in self.running:
                    continue  # it was itself the youngest
                request.blocks += self.blocks.take(1)
            decoding.append(request)
        return [request for request in decoding if request in self.running]

    def _preempt(self, owner: str | None = None) -> None:
        """Take the blocks of the youngest request of an owner, or of the one who holds most."""
        if owner is None:
            owner = max(held := self._held_blocks(), key=held.__getitem__)
        youngest = next(each for each in reversed(self.running) if each.owner == owner)
        self.running.remove(youngest)
        self._give_back(youngest)
        self.num_preemptions += 1
        self.waiting.appendleft(youngest)

    def _held_blocks(self) -> Counter[str]:
        """How many blocks the running requests of each owner hold."""
        held: Counter[str] = Counter()
        for request in self.running:
            held[request.owner] += len(request.blocks)
        return held

    def _give_back(self, request: Request) -> None:
        self.blocks.release(request.blocks)
        request.blocks = []
        request.num_computed = 0
        request.graded = []
        request.scratch = request.beside = None

    def _admit(self, left: int) -> None:
        """Let waiting requests in, owners in turn, while a step has room and blocks are available.

        Args:
            left: Prompt positions of the step; each owner may fill an equal part of them.
        """
        begun: Counter[str] = Counter()
        for each in self.running:
            begun[each.owner] += each.num_left if each.num_left > 1 else 0
        num_owners = len({request.owner for request in self.waiting} | set(+begun))
        full: set[str] = set()  # owners whose next request cannot use this step
        while (request := self._next_waiting(full)) is not None:
            digests = _reusable(request)
            found = self.blocks.find(digests)
            missing = digests[len(found) :]
            if begun[request.owner] >= left // num_owners or self._is_being_computed(missing):
                full.add(request.owner)
                continue
            needed = blocks_for(request.length) - len(found)
            if not self._make_room(request, found, needed):
                break
            self.waiting.remove(request)
            self._start(request, found, needed)
            begun[request.owner] += request.num_left

    def _next_waiting(self, full: Collection[str]) -> Request | None:
        """The first request of the owner who has the fewest running ones."""
        running = Counter(request.owner for request in self.running)
        waiting = (request for request in self.waiting if request.owner not in full)
        return min(waiting, key=lambda request: running[request.owner], default=None)

    def _make_room(self, request: Request, found: Sequence[int], needed: int) -> bool:
        """Whether a request can start, perhaps in the place of requests of a greater owner."""
        while True:
            is_crowded = len(self.running) >= self._budget.max_running
            # One more for each that runs, or the next step would take them back.
            wanted = needed + self.blocks.num_kept(found) + len(self.running)
            if not is_crowded and (wanted <= self.blocks.num_available or not self.running):
                return True
            if is_crowded:
                held, own = Counter(each.owner for each in self.running), 1
            else:
                held, own = self._held_blocks(), needed + len(found)
            greatest = max(held, key=held.__getitem__)
            if held[greatest] <= held[request.owner] + own:
                return False
            self._preempt(greatest)

    def _start(self, request: Request, found: Sequence[int], needed: int) -> None:
        self.blocks.hold(found)
        request.blocks = [*found, *self.blocks.take(needed)]
        request.num_computed = len(found) * BLOCK_SIZE
        if request.num_cached is None:
            request.num_cached = request.num_computed
            self.num_queried += request.prompt_length
            self.num_hit += request.num_computed
        self.running.append(request)

    def _is_being_computed(self, missing: Sequence[bytes]) -> bool:
        """Whether a running request is about to compute the first missing block."""
        return bool(missing) and any(
            missing[0] in request.fingerprints.digests[request.num_computed // BLOCK_SIZE :]
            for request in self.running
            if request.fingerprints is not None and request.num_left > 1
        )


def _reusable(request: Request) -> list[bytes]:
    """Digests of the blocks that end before the first position that must be computed."""
    if request.fingerprints is None:
        return []
    return request.fingerprints.digests[: request.num_reusable // BLOCK_SIZE]
