"""Requests one after the other through a language model that cannot be run packed.

Does not batch and finds nothing again: each request has a transformers cache of its own.

Shapes: S positions, D layer width.
"""

from collections.abc import Collection, Sequence

import torch

from anymal.engine.blocks import blocks_for
from anymal.engine.draw import draw_all
from anymal.engine.grade import grade_all
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Result, Vocabulary
from anymal.engine.request import Work
from anymal.engine.rows import check_prompt, embed_work
from anymal.engine.score import reading_of
from anymal.engine.side import Beside
from anymal.llm.causal_lm import LLM
from anymal.side.base import Side, SideLayers, side_is

_SEQUENCES = 32


class UnpackedRunner:
    """See `anymal.engine.batching.Runner`; blocks only bound how many run, and hold no bytes."""

    root: bytes | None = None
    reads_ahead = False
    block_bytes = 0

    def __init__(
        self,
        llm: LLM,
        *,
        side: SideLayers | None = None,
        vocabulary: Vocabulary,
        stop_ids: Collection[int],
        context: int,
    ) -> None:
        """Keeps the model.

        Args:
            llm: The model.
            side: What it reads with beside its rows, if anything.
            vocabulary: Ids to text.
            stop_ids: Ids that end an answer.
            context: Most positions of a sequence.
        """
        self.vocabulary = vocabulary
        self.context = context
        self.num_blocks = 1 + _SEQUENCES * blocks_for(context)
        self._llm = llm
        self._beside = None if side is None else Beside(llm, side)
        self._stop_ids = frozenset(stop_ids)

    def check(self, prompt: Prompt) -> None:
        """See `Runner.check`."""
        check_prompt(self._llm, prompt, self._beside)

    def scrub(self, blocks: Sequence[int]) -> None:
        """See `Runner.scrub`; a request's cache ends with it."""

    @torch.no_grad()
    def step(self, works: Sequence[Work]) -> list[Result | Exception | None]:
        """See `Runner.step`."""
        return [self._step(work) for work in works]

    def _step(self, work: Work) -> Result | Exception | None:
        request, llm = work.request, self._llm
        if request.scratch is None:
            request.scratch = llm.new_cache()
        try:
            rows = embed_work(llm, work)[None]
            places = torch.arange(work.start, work.stop, device=llm.device)[None]
            with side_is(self._side(work)):
                hidden = llm.decode(rows, positions=places, cache=request.scratch)
            if request.given:
                return grade_all(llm, [work], [hidden[0]])[0]
            if not work.is_complete:
                return None
            if request.reads is not None:
                return reading_of(request.reads, hidden[0, -1:])
            return draw_all([request], llm.head(hidden[0, -1:]), stop_ids=self._stop_ids)[0]
        except Exception as error:  # one request's failure must not end the others
            return error

    def _side(self, work: Work) -> Side | None:
        """What a stretch reads beside its row."""
        if self._beside is None:
            return None
        for error in self._beside.prepare([work]).values():
            raise error
        return self._beside.of([work])
