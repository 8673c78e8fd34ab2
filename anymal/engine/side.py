"""What the requests of a step read beside their rows.

Keys and values of a request's media are made when it first takes part in a step, and kept with it
until it ends or gives its blocks back; requests of one prompt that run together share them. Nothing
else keeps them. Does not hold the layers that read them (`anymal.side`) and does not run the
language model's.

Shapes: M media of a request, Q soft tokens of each, D_side their width.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary, ref

import torch

from aligners.base import SoftTokens
from anymal.engine.prompt import Prompt, SideSpan
from anymal.engine.request import Work
from anymal.errors import EngineError
from anymal.llm.beside import decoder_layers
from anymal.llm.causal_lm import LLM
from anymal.side.base import Memory, Side, SideLayers, joined
from anymal.side.media import media_of
from anymal.side.reads import Reader, Reads, Stretch
from encoders.fingerprint import module_digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What is kept of one request.

    Attributes:
        memory: Of its media.
        places: Before which position each medium stands.
    """

    memory: Memory
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """Positions `[start, stop)` of one sequence, as they stand in a step."""

    kept: Kept
    start: int
    stop: int


class Beside:
    """The media beside the rows of one engine."""

    def __init__(self, llm: LLM, layers: SideLayers) -> None:
        """Keeps both.

        Args:
            llm: Reads beside its rows (`anymal.llm.beside`).
            layers: What it reads with; must not change any more.
        """
        self.layers = layers
        self._decoder = decoder_layers(llm)
        self._dtype, self._device = llm.dtype, llm.device
        self._made: WeakValueDictionary[tuple[SideSpan, ...], Memory] = WeakValueDictionary()
        self._memories: tuple[ref[Memory], ...] = ()  # of the last step, and all in one
        self._memory: Memory | None = None
        self._stretches: list[Stretch] = []  # likewise
        self._reads: Reads | None = None
        self._num_positions = 0

    def root(self, root: bytes) -> bytes:
        """What keys and values depend on, the side layers included."""
        return hashlib.sha256(root + module_digest(self.layers).encode()).digest()

    def check(self, prompt: Prompt) -> None:
        """Refuse media that the layers cannot read.

        Raises:
            EngineError: Soft tokens have another width.
        """
        for span in prompt.beside:
            shape, width = list(span.embeddings.shape), self.layers.media_dim
            if len(shape) != 2 or shape[0] == 0 or shape[1] != width:
                raise EngineError(
                    f"{span.kind} embeddings have shape {shape}; allowed beside the row: "
                    f"[1 or more, {width}]"
                )

    def keep(self, spans: Sequence[SideSpan], places: tuple[int, ...]) -> Kept:
        """Make keys and values of one sequence's media.

        Args:
            spans: The media; there may be none. Where a memory of the same ones is kept, it is
                taken.
            places: Before which position each stands.
        """
        key = tuple(spans)
        if (memory := self._made.get(key)) is None:
            self._made[key] = memory = self._remember(spans)
        return Kept(memory=memory, places=places)

    def _remember(self, spans: Sequence[SideSpan]) -> Memory:
        """Keys and values of media."""
        own = [span.embeddings.to(self._device, torch.float32) for span in spans]
        media = media_of(
            [SoftTokens(values=each[None]) for each in own],
            order=torch.arange(len(own), device=self._device),
            counts=(len(own),),
            media_dim=self.layers.media_dim,
        )
        return self.layers.remember(media, layers=self._decoder, dtype=self._dtype)

    def prepare(self, works: Sequence[Work]) -> dict[Work, Exception]:
        """Make keys and values for requests that are new, or begin again.

        Returns:
            What went wrong, by stretch; these cannot take part.
        """
        failed: dict[Work, Exception] = {}
        for work in works:
            request = work.request
            if request.beside is not None:
                continue
            try:
                request.beside = self.keep(request.prompt.beside, request.prompt.places)
            except Exception as error:  # one request's media must not end the others
                failed[work] = error
        return failed

    def of(self, works: Sequence[Work]) -> Side:
        """What a step reads.

        Args:
            works: In the order of the rows, each prepared.
        """
        return self.side(
            [Reading(kept=w.request.beside, start=w.start, stop=w.stop) for w in works]
        )

    def side(self, readings: Sequence[Reading]) -> Side:
        """What sequences read whose positions stand one after the other in a row."""
        readers: list[Reader] = []
        row = 0
        for each in readings:
            length = each.stop - each.start
            readers.append(
                Reader(start=row, length=length, offset=each.start, places=each.kept.places)
            )
            row += length
        return Side(
            layers=self.layers,
            memory=self._joined(tuple(each.kept.memory for each in readings)),
            reads=self._laid_out(self.layers.stretches(readers), row),
        )

    # While answers are in progress, the same requests read the same in every step.

    def _joined(self, memories: tuple[Memory, ...]) -> Memory:
        """The memories of all requests in one, kept no longer than each of them is."""
        if len(memories) == 1:
            self._forget()
            return memories[0]
        memory = self._memory
        if memory is None or tuple(each() for each in self._memories) != memories:
            self._forget()  # first, so that there are never two
            memory = joined(memories)
            self._memories = tuple(ref(each, self._forget) for each in memories)
            self._memory = memory
        return memory

    def _forget(self, gone: Any = None) -> None:
        """Free what the memories of the last step are together."""
        self._memories, self._memory = (), None

    def _laid_out(self, stretches: list[Stretch], num_positions: int) -> Reads:
        """Which positions read what."""
        is_same = stretches == self._stretches and num_positions == self._num_positions
        if self._reads is None or not is_same:
            self._stretches, self._num_positions = stretches, num_positions
            self._reads = Reads(stretches, num_positions=num_positions, device=self._device)
        return self._reads
