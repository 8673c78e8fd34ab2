"""What to compute in the next step: decode first, then prompts in chunks, as blocks allow.

Does not compute: the engine asks it for a plan, carries it out, and reports the results. Does not
import torch.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from anymal.engine.blocks import BLOCK_SIZE, Blocks, blocks_for
from anymal.engine.request import Request, Work


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

    First come, first served: a request is admitted when its prompt's blocks are available, and no
    later one before it. When blocks run out in the middle of answers, the youngest request gives
    its own back, waits at the front, and is computed again.
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
        self.num_preemptions = 0
        self.num_queried = 0
        self.num_hit = 0
        self._budget = budget

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
        budget = self._budget
        left = budget.beside_decode if decoding else budget.step_tokens
        works = [Work(request=r, start=r.num_computed, stop=r.length) for r in decoding]
        prefilling = [request for request in self.running if request.num_left > 1]
        admitted = self._admit(left - sum(request.num_left for request in prefilling))
        # A prompt whose blocks were all found but for one position counts as a prompt all the same.
        return works + _share(prefilling + admitted, left)

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

    def _preempt(self) -> None:
        youngest = self.running.pop()
        self._give_back(youngest)
        self.num_preemptions += 1
        self.waiting.appendleft(youngest)

    def _give_back(self, request: Request) -> None:
        self.blocks.release(request.blocks)
        request.blocks = []
        request.num_computed = 0
        request.scratch = None

    def _admit(self, room: int) -> list[Request]:
        """Let waiting requests in while a step has room and blocks are available."""
        admitted = []
        while self.waiting and room > 0 and len(self.running) < self._budget.max_running:
            request = self.waiting[0]
            digests = _reusable(request)
            found = self.blocks.find(digests)
            if self._is_being_computed(digests[len(found) :]):
                break
            needed = blocks_for(request.length) - len(found)
            # One more for each that runs, or the next step would take them back.
            wanted = needed + self.blocks.num_kept(found) + len(self.running)
            if wanted > self.blocks.num_available and self.running:
                break
            self._start(self.waiting.popleft(), found, needed)
            admitted.append(request)
            room -= request.num_left
        return admitted

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
    """Digests of the blocks that end before the last known position, which must be computed."""
    if request.fingerprints is None:
        return []
    return request.fingerprints.digests[: (request.length - 1) // BLOCK_SIZE]


def _share(prefilling: Sequence[Request], left: int) -> list[Work]:
    """Chunks of prompts: half the room for the oldest, the rest for the shortest first.

    So no prompt starves, and a short one does not wait for the end of a long one.
    """
    if not prefilling:
        return []
    oldest, *others = prefilling
    others.sort(key=lambda request: request.num_left)
    works = []
    for request in (oldest, *others):
        room = left - left // 2 if request is oldest and others else left
        size = min(room, request.num_left)
        if size > 0:
            start = request.num_computed
            works.append(Work(request=request, start=start, stop=start + size))
            left -= size
    return works
