"""All requests of a step in one row through the language model's own layers.

Does not decide who takes part; see `anymal.engine.scheduler`.

Shapes: T positions of a step, N answers, D_llm embedding width, D layer width, V vocabulary.
"""

from collections.abc import Collection, Sequence
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from anymal.engine.attention import PackedAttention, Stretch
from anymal.engine.blocks import BLOCK_SIZE, blocks_for
from anymal.engine.draw import draw_all
from anymal.engine.events import Likelihood
from anymal.engine.grade import grade_all
from anymal.engine.key_values import KeyValues
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Drawn, Reading, Result, Vocabulary
from anymal.engine.request import Work
from anymal.engine.rows import check_prompt, embed_ids, embed_request
from anymal.engine.score import reading_of
from anymal.engine.self_test import self_test
from anymal.engine.side import Beside
from anymal.llm.attention import attention_is
from anymal.llm.causal_lm import LLM
from anymal.llm.packable import LayerShape, installed, layer_shapes
from anymal.llm.short_decoder import short_decoder
from anymal.side.base import SideLayers, side_is

_MIN_BLOCKS = 8
_CUDA_SHARE = 0.8  # of free memory; the rest is for activations
_CPU_BYTES = 512 * 2**20
_CPU_SEQUENCES = 64


class PackedRunner:
    """See `anymal.engine.batching.Runner`."""

    def __init__(
        self,
        llm: LLM,
        *,
        side: SideLayers | None = None,
        vocabulary: Vocabulary,
        stop_ids: Collection[int],
        context: int,
        cache_bytes: int | None = None,
    ) -> None:
        """Sets the cache aside, and tests that the model runs packed as it runs alone.

        Args:
            llm: Must not change any more: what it computed is kept under a digest of its weights.
            side: What it reads with beside its rows, if anything; likewise.
            vocabulary: Ids to text.
            stop_ids: Ids that end an answer.
            context: Most positions of a sequence.
            cache_bytes: Size of the key-value cache; None takes `default_cache_bytes`.

        Raises:
            Unpackable: The model cannot be run packed.
        """
        self.vocabulary = vocabulary
        self.context = context
        self._llm = llm
        self._stop_ids = frozenset(stop_ids)
        self._beside = None if side is None else Beside(llm, side)
        self.reads_ahead = side is not None and not side.is_positional
        with installed(llm):
            self._set_up(cache_bytes)

    def _set_up(self, cache_bytes: int | None) -> None:
        llm = self._llm
        shapes, dtype = layer_shapes(llm)
        self.block_bytes = BLOCK_SIZE * _bytes_per_position(shapes, dtype)
        if cache_bytes is None:
            cache_bytes = default_cache_bytes(
                llm.device, bytes_per_sequence=blocks_for(self.context) * self.block_bytes
            )
        self.num_blocks = max(_MIN_BLOCKS, cache_bytes // self.block_bytes)
        root = bytes.fromhex(llm.weights_digest())
        self.root: bytes | None = root if self._beside is None else self._beside.root(root)
        self._cache = KeyValues(shapes, num_blocks=self.num_blocks, dtype=dtype, device=llm.device)
        short = short_decoder(llm)
        self._decode = partial(long_decode, llm) if short is None else short.decode
        self_test(llm, self._decode, self._cache, self._beside)

    def check(self, prompt: Prompt) -> None:
        """See `Runner.check`."""
        check_prompt(self._llm, prompt, self._beside)

    def scrub(self, blocks: Sequence[int]) -> None:
        """See `Runner.scrub`."""
        self._cache.scrub(blocks)

    @torch.no_grad()
    def step(self, works: Sequence[Work]) -> list[Result | Exception | None]:
        """See `Runner.step`."""
        try:
            return self._step(works)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # so that the next step finds what this one could not get
            raise

    def _step(self, works: Sequence[Work]) -> list[Result | Exception | None]:
        failed = {} if self._beside is None else self._beside.prepare(works)
        going = [work for work in works if work not in failed]
        told = {**failed, **(self._run(going) if going else {})}
        return [told.get(work) for work in works]

    def _run(self, works: Sequence[Work]) -> dict[Work, Result | Exception | None]:
        """Run stretches in one row; gives what was drawn, graded or read."""
        decoding = [work for work in works if _is_decoding(work)]
        chunks = [work for work in works if not _is_decoding(work)]
        ordered = [*decoding, *chunks]
        attention = PackedAttention(
            self._cache,
            decoding=[_stretch(work) for work in decoding],
            chunks=[_stretch(work) for work in chunks],
            device=self._llm.device,
        )
        positions = [place for work in ordered for place in range(work.start, work.stop)]
        rows = self._rows(decoding, chunks)
        side = None if self._beside is None else self._beside.of(ordered)
        with side_is(side):
            hidden = self._decode(rows, torch.tensor(positions, device=self._llm.device), attention)
        drawn = self._draw(ordered, hidden)
        return {**drawn, **self._graded(ordered, hidden), **_read(ordered, hidden)}

    def _rows(self, decoding: Sequence[Work], chunks: Sequence[Work]) -> Tensor:
        """What the layers read, `[T, D_llm]`."""
        ids = tuple(work.request.ids[work.start - work.request.prompt_length] for work in decoding)
        rows = [embed_ids(self._llm, ids)] if ids else []
        for work in chunks:
            request = work.request
            if request.scratch is None:
                request.scratch = embed_request(self._llm, request)
            rows.append(request.scratch[work.start : work.stop])
            if work.is_complete:
                request.scratch = None
        return torch.cat(rows)

    def _draw(self, ordered: Sequence[Work], hidden: Tensor) -> dict[Work, Drawn | Exception]:
        """The next tokens of those whose stretches are complete."""
        rows: list[int] = []
        complete: list[Work] = []
        ends = 0
        for work in ordered:
            ends += work.stop - work.start
            if work.is_complete and not work.request.given and work.request.reads is None:
                rows.append(ends - 1)
                complete.append(work)
        if not complete:
            return {}
        logits = self._llm.head(hidden[rows])  # [N, V]
        requests = [work.request for work in complete]
        drawn = draw_all(requests, logits, stop_ids=self._stop_ids)
        return dict(zip(complete, drawn, strict=True))

    def _graded(
        self, ordered: Sequence[Work], hidden: Tensor
    ) -> dict[Work, Likelihood | Exception | None]:
        """How likely given answers are, by stretch."""
        if not any(work.request.given for work in ordered):
            return {}
        parts = torch.split(hidden, [work.stop - work.start for work in ordered])
        given = {
            work: part for work, part in zip(ordered, parts, strict=True) if work.request.given
        }
        graded = grade_all(self._llm, list(given), list(given.values()))
        return dict(zip(given, graded, strict=True))


def _read(ordered: Sequence[Work], hidden: Tensor) -> dict[Work, Reading | Exception]:
    """The numbers of those that ask for one and whose stretches are complete."""
    ends = accumulate(work.stop - work.start for work in ordered)
    return {
        work: reading_of(work.request.reads, hidden[end - 1 : end])
        for work, end in zip(ordered, ends, strict=True)
        if work.is_complete and work.request.reads is not None
    }


def long_decode(llm: LLM, rows: Tensor, positions: Tensor, attention: PackedAttention) -> Tensor:
    """Run the layers as transformers does, `[T, D_llm]` to `[T, D]`; see `ShortDecoder.decode`."""
    with attention_is(attention):
        return llm.decode(rows[None], positions=positions[None], cache=None)[0]


def default_cache_bytes(device: torch.device, *, bytes_per_sequence: int) -> int:
    """How much to set aside for keys and values by default.

    Args:
        device: Where.
        bytes_per_sequence: Of a sequence that fills the model's context.

    Returns:
        Bytes: on CUDA most of what is free; on a CPU little, and no more than the model can use.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(_CUDA_SHARE * free)
    return min(_CPU_BYTES, _CPU_SEQUENCES * bytes_per_sequence)


def _bytes_per_position(shapes: dict[int, LayerShape], dtype: torch.dtype) -> int:
    numbers = sum(s.num_heads * (s.key_dim + s.value_dim) for s in shapes.values())
    return int(numbers * dtype.itemsize)


def _is_decoding(work: Work) -> bool:
    """Whether it is one position that holds a token of the answer."""
    return work.start >= work.request.prompt_length and work.stop == work.start + 1


def _stretch(work: Work) -> Stretch:
    return Stretch(start=work.start, stop=work.stop, blocks=work.request.blocks)
