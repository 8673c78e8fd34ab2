"""One request from its arrival to its last token, as scheduler, runner and engine share it.

Does not decide or compute anything. Torch-free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anymal.engine.base import Ticket
from anymal.engine.blocks import Fingerprints
from anymal.engine.events import Event
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Growing
from anymal.engine.sampling import Sampling


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One request.

    Attributes:
        prompt: What to continue.
        sampling: How; without effect where the answer is given.
        emit: Called with its events.
        ticket: Cancels it.
        limit: Most tokens of the answer, no more than fit.
        reply: The answer so far, as events.
        given: Ids of an answer to grade instead of drawing one; the prompt ends with all of them
            but the last.
        graded: Of the given ids so far, the log-probability, and whether each was the likeliest.
        reads: Makes a number of the hidden state at the end of the prompt, in the place of an
            answer (`anymal.engine.score.Read`); None where it is answered or graded.
        fingerprints: Of its whole blocks; None where none are kept.
        ids: Tokens of the answer so far.
        blocks: Numbers of the blocks that it holds, in order.
        num_computed: Positions whose keys and values are in those blocks.
        num_cached: Prompt positions that were found and not computed when it was first admitted;
            None before.
        planned_at: Number of the last step that it took part in.
        scratch: What the runner remembers between steps while the request runs.
        beside: What the runner keeps of media beside the row while the request runs.
        drawer: What the runner draws with; it outlives pre-emption.
    """

    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    emit: Callable[[Event], None]
    limit: int
    reply: Growing
    ticket: Ticket = field(default_factory=Ticket)
    given: tuple[int, ...] = ()
    graded: list[tuple[float, bool]] = field(default_factory=list)
    reads: Any = None
    fingerprints: Fingerprints | None = None
    ids: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    num_computed: int = 0
    num_cached: int | None = None
    planned_at: int = 0
    scratch: Any = None
    beside: Any = None
    drawer: Any = None
    prompt_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_length = len(self.prompt)

    @property
    def owner(self) -> str:
        """Name of who sent it."""
        return self.prompt.owner.name

    @property
    def length(self) -> int:
        """Positions known so far."""
        return self.prompt_length + len(self.ids)

    @property
    def num_left(self) -> int:
        """Positions to compute before the next token can be drawn: 1 in the middle of an answer."""
        return self.length - self.num_computed

    @property
    def num_reusable(self) -> int:
        """Positions that need not be computed if they are found: no token is predicted at them."""
        return self.length - max(1, len(self.given))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """A stretch of one request's positions, to be computed in one step.

    Attributes:
        request: Whose; its blocks have room for the stretch.
        start: First position.
        stop: The position after the last.
    """

    request: Request
    start: int
    stop: int

    @property
    def is_complete(self) -> bool:
        """Whether the next token can be drawn after it."""
        return self.stop == self.request.length
