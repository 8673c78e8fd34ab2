"""Ways to answer clients that arrive one after the other, in one process and without HTTP.

Does not measure; each way returns its exchanges.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LlamaForCausalLM
from transformers.generation.streamers import BaseStreamer

from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, Failed, TextDelta
from anymal.engine.packed import PackedRunner
from anymal.engine.sampling import Sampling
from anymal.llm.causal_lm import LLM
from anymal.side.base import SideLayers
from benchmarks.serving.line import Exchange
from benchmarks.serving.shape import NUM_NEW, WIDE, Numbers, Question

Answers = list[tuple[Exchange, list[int]]]
"""Each client's exchange, and the ids that it was answered."""
Way = Callable[[Sequence[Question], float], Answers]
"""Answers questions that arrive so many seconds after one another."""

_CACHE_BYTES = 64 * 2**20


def by_engine(llm: LLM, *, side: SideLayers | None = None) -> tuple[Way, BatchingEngine]:
    """This project's engine, as the service runs it.

    Args:
        llm: The model.
        side: What it reads with beside its rows, if anything.

    Returns:
        The way, and the engine, which the caller closes.
    """
    runner = PackedRunner(
        llm,
        side=side,
        vocabulary=Numbers(),
        stop_ids=(),
        context=WIDE["max_position_embeddings"],
        cache_bytes=_CACHE_BYTES,
    )
    engine = BatchingEngine(runner)

    def answer(questions: Sequence[Question], stagger_s: float) -> Answers:
        start = time.perf_counter()
        clients = []
        for index, question in enumerate(questions):
            client = _Client(start + index * stagger_s)
            sleep_until(client.due)
            engine.start(
                question.prompt, Sampling(max_tokens=NUM_NEW, ignore_eos=True), client.hear
            )
            clients.append(client)
        return [client.answer() for client in clients]

    return answer, engine


class _Client:
    """Hears the events of one answer."""

    def __init__(self, due: float) -> None:
        self.due = due
        self._pieces: list[float] = []
        self._texts: list[str] = []
        self._error: str | None = None
        self._has_ended = threading.Event()

    def hear(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self._pieces.append(time.perf_counter())
                self._texts.append(text)
                return
            case Failed(error=error):
                self._error = type(error).__name__
        self._has_ended.set()

    def answer(self) -> tuple[Exchange, list[int]]:
        self._has_ended.wait()
        ids = [int(word) for word in "".join(self._texts).split()]
        return exchange_of(self.due, self.due, self._pieces, self._error), ids


def by_generate(model: LlamaForCausalLM) -> Way:
    """The `generate` of transformers, one request after the other, as LLaVA's worker calls it."""

    def answer(questions: Sequence[Question], stagger_s: float) -> Answers:
        start = time.perf_counter()
        answers: Answers = []
        for index, question in enumerate(questions):
            due = start + index * stagger_s
            sleep_until(due)
            answers += _generate(model, [question], [due])
        return answers

    return answer


def by_batches(model: LlamaForCausalLM) -> Way:
    """The same with static batches: all that wait when the last batch is done."""

    def answer(questions: Sequence[Question], stagger_s: float) -> Answers:
        start = time.perf_counter()
        dues = [start + index * stagger_s for index in range(len(questions))]
        answers: Answers = []
        while (done := len(answers)) < len(questions):
            sleep_until(dues[done])
            num_waiting = sum(due <= time.perf_counter() for due in dues[done:])
            batch = slice(done, done + num_waiting)
            answers += _generate(model, questions[batch], dues[batch])
        return answers

    return answer


def _generate(
    model: LlamaForCausalLM, questions: Sequence[Question], dues: Sequence[float]
) -> Answers:
    rows = torch.stack([question.rows for question in questions])  # [B, S, D_llm]
    moments = Moments()
    began = time.perf_counter()
    made = model.generate(
        inputs_embeds=rows,
        attention_mask=torch.ones(rows.shape[:2], dtype=torch.int64),
        max_new_tokens=NUM_NEW,
        do_sample=False,
        pad_token_id=0,
        streamer=moments,
    )
    return [
        (exchange_of(due, began, moments.found, None), ids)
        for due, ids in zip(dues, made.tolist(), strict=True)
    ]


class Moments(BaseStreamer):  # type: ignore[misc]
    """Notes when each token of a batch came, on a clock."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.found: list[float] = []
        self._clock = clock
        self._has_prompt = False

    def put(self, value: Any) -> None:
        """See transformers."""
        if self._has_prompt:  # the first call brings the prompt's ids
            self.found.append(self._clock())
        self._has_prompt = True

    def end(self) -> None:
        """See transformers."""


def exchange_of(due: float, began: float, pieces: list[float], error: str | None) -> Exchange:
    """An exchange whose pieces are tokens."""
    return Exchange(
        kind="mixed",
        due=due,
        began=began,
        ended=pieces[-1] if pieces else time.perf_counter(),
        pieces=tuple(pieces),
        num_tokens=len(pieces),
        error=error,
    )


def sleep_until(moment: float) -> None:
    """Wait for a moment on the clock of `time.perf_counter`."""
    time.sleep(max(0.0, moment - time.perf_counter()))
