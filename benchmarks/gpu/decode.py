"""Answers of one language model held in NF4: by this project's engine, and by `generate`.

Greedy answers that never end by themselves, so that all do the same work; no prompt comes twice.

Shapes: B sequences, T positions of a prompt, D_llm embedding width.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, Failed, TextDelta
from anymal.engine.packed import PackedRunner
from anymal.engine.prompt import EmbeddingSpan, Prompt
from anymal.engine.sampling import Sampling
from anymal.llm.causal_lm import LLM
from benchmarks.gpu.shape import Shape, twin
from benchmarks.serving.shape import Numbers

Answer = Callable[[Tensor, int], float]
"""Answers prompts `[B, T, D_llm]` with so many tokens; returns the seconds that it took."""


def by_engine(base: LlamaForCausalLM, shape: Shape, stack: ExitStack) -> Answer:
    """The engine, as the service runs it.

    Args:
        base: From `random_nf4`.
        shape: Gives the longest sequence.
        stack: Closes the engine.

    Returns:
        A way to answer.
    """
    llm = LLM(twin(base), Numbers(), precision="nf4", tuner=None)
    runner = PackedRunner(llm, vocabulary=Numbers(), stop_ids=(), context=shape.context)
    engine = BatchingEngine(runner)
    stack.callback(engine.close)

    def answer(prompts: Tensor, num_new: int) -> float:
        start = time.perf_counter()
        clients = []
        for rows in prompts:
            digest = f"{start} {len(clients)}"  # nothing is found in a cache
            span = EmbeddingSpan(embeddings=rows, digest=digest, kind="image")
            client = _Client()
            sampling = Sampling(max_tokens=num_new, ignore_eos=True)
            engine.start(Prompt(spans=(span,)), sampling, client.hear)
            clients.append(client)
        for client in clients:
            client.wait(num_new)
        return time.perf_counter() - start

    return answer


@dataclass(slots=True)
class _Client:
    """Waits for an answer."""

    num_pieces: int = 0
    error: Exception | None = None
    _has_ended: threading.Event = field(default_factory=threading.Event)

    def hear(self, event: Event) -> None:
        match event:
            case TextDelta():
                self.num_pieces += 1
                return
            case Failed(error=error):
                self.error = error
        self._has_ended.set()

    def wait(self, num_new: int) -> None:
        self._has_ended.wait()
        if self.error is not None:
            raise self.error
        assert self.num_pieces == num_new, f"{self.num_pieces} of {num_new} tokens"


def by_generate(base: LlamaForCausalLM) -> Answer:
    """The `generate` of transformers, all prompts in one batch.

    Args:
        base: From `random_nf4`.

    Returns:
        A way to answer.
    """
    model = twin(base)

    def answer(prompts: Tensor, num_new: int) -> float:
        start = time.perf_counter()
        made = model.generate(
            inputs_embeds=prompts,
            attention_mask=torch.ones(prompts.shape[:2], dtype=torch.int64, device=prompts.device),
            max_new_tokens=num_new,
            min_new_tokens=num_new,
            do_sample=False,
            pad_token_id=0,
        )
        made = made.tolist()  # waits for the GPU
        assert {len(ids) for ids in made} == {num_new}
        return time.perf_counter() - start

    return answer


@torch.no_grad()
def decode_speed(
    answer: Answer, base: LlamaForCausalLM, shape: Shape, batch: int
) -> dict[str, float]:
    """Tokens a second after the first ones, at the shortest prompt.

    Args:
        answer: The way.
        base: Whose embeddings prompts are as large as.
        shape: What is decoded.
        batch: B.

    Returns:
        Tokens a second of all sequences, and seconds of one step.
    """
    prompts = _prompts(base, shape, batch, shape.prompts[0])
    answer(prompts, 2)  # warms up
    first = answer(prompts, 1)
    whole = answer(prompts, shape.new)
    steps = shape.new - 1
    return {
        "tokens_per_s": round(batch * steps / (whole - first), 2),
        "step_ms": round(1000 * (whole - first) / steps, 2),
    }


@torch.no_grad()
def prompt_speed(
    answer: Answer, base: LlamaForCausalLM, shape: Shape, length: int
) -> dict[str, float]:
    """Positions of a prompt a second, up to its first token.

    Args:
        answer: The way.
        base: Whose embeddings prompts are as large as.
        shape: What is read.
        length: T.

    Returns:
        Positions a second, and seconds to the first token.
    """
    prompts = _prompts(base, shape, 1, length)
    answer(prompts, 1)  # warms up
    seconds = answer(prompts, 1)
    return {
        "tokens_per_s": round(length / seconds, 2),
        "first_token_ms": round(1000 * seconds, 2),
    }


def _prompts(base: LlamaForCausalLM, shape: Shape, batch: int, length: int) -> Tensor:
    """Embeddings `[B, T, D_llm]` as large as words."""
    table = base.get_input_embeddings().weight
    generator = torch.Generator(table.device).manual_seed(length)
    ids = torch.randint(
        shape.config.vocab_size, (batch, length), generator=generator, device=table.device
    )
    return table[ids]
