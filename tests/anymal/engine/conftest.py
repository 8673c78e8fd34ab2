"""Tiny random language models behind the engine, and transformers' own answers beside them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, Finished, Logprob, TextDelta
from anymal.engine.packed import PackedRunner
from anymal.engine.prompt import EmbeddingSpan, Prompt, SideSpan, TokenSpan
from anymal.engine.runner import Runner
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget
from anymal.engine.unpacked import UnpackedRunner
from anymal.llm.causal_lm import LLM
from anymal.side.base import SideLayers

V, D = 61, 32
SIZES = {
    "vocab_size": V,
    "hidden_size": D,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "attn_implementation": "sdpa",
}


class Numbers:
    """A vocabulary whose words are their ids."""

    eos_token_id = None
    stop = ""

    def text(self, ids: Sequence[int]) -> str:
        return "".join(f"{id_} " for id_ in ids)

    def logprob(self, id_: int, logprob: float, top: Any) -> Logprob:
        return Logprob(
            token=str(id_),
            bytes_=b"",
            logprob=logprob,
            top=tuple((str(each.id), b"", each.logprob) for each in top),
        )


class Bench:
    """A language model, ways to engines of it, and what transformers says."""

    def __init__(self, llm: LLM, side: SideLayers | None = None) -> None:
        self.llm, self.side = llm, side

    @property
    def block_bytes(self) -> int:
        return self.runner().block_bytes

    def runner(
        self, *, packed: bool = True, stop_ids: Any = (), cache_bytes: int = 2**20
    ) -> Runner:
        options: dict[str, Any] = {"vocabulary": Numbers(), "stop_ids": stop_ids, "context": 256}
        options |= {"side": self.side}
        if packed:
            return PackedRunner(self.llm, cache_bytes=cache_bytes, **options)
        return UnpackedRunner(self.llm, **options)

    def engine(self, runner: Runner | None = None, **budget: int) -> BatchingEngine:
        return BatchingEngine(runner or self.runner(), max_waiting=100, budget=Budget(**budget))

    @torch.no_grad()
    def rows(self, prompt: Prompt) -> Tensor:
        parts = [
            self.llm.embed(torch.tensor(span.ids, dtype=torch.int64))
            if isinstance(span, TokenSpan)
            else span.embeddings.to(self.llm.dtype)
            for span in prompt.spans
            if not isinstance(span, SideSpan)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def expected(self, prompt: Prompt, max_tokens: int) -> list[int]:
        """The oracle."""
        rows = self.rows(prompt)[None]
        ids = self.llm.model.generate(
            inputs_embeds=rows,
            attention_mask=torch.ones(rows.shape[:2], dtype=torch.int64),
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=0,
        )
        found: list[int] = ids[0].tolist()
        return found


def make_llm(kind: str, *, dtype: torch.dtype = torch.float64, **changes: Any) -> LLM:
    """A random model of a kind that transformers knows."""
    torch.manual_seed(0)
    config: PretrainedConfig = AutoConfig.for_model(kind, **(SIZES | changes))
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    for name, parameter in model.named_parameters():  # so that a bias or norm left out would show
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    return LLM(model, Numbers(), precision="fp32", tuner=None)


@pytest.fixture(scope="session")
def llama() -> Bench:
    """A Llama with two heads that answer for four, in float64."""
    return Bench(make_llm("llama"))


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    """Makes benches of other kinds."""
    return lambda kind, **changes: Bench(make_llm(kind, **changes))


@pytest.fixture(scope="session")
def bench_of() -> Callable[..., Bench]:
    """Makes the bench of a model."""
    return Bench


@pytest.fixture(scope="session")
def soft() -> Callable[..., EmbeddingSpan]:
    """Makes soft tokens by seed."""

    def make(number: int, seed: int) -> EmbeddingSpan:
        rows = torch.randn(number, D, generator=torch.Generator().manual_seed(seed))
        return EmbeddingSpan(embeddings=rows, digest=f"{seed} {number}", kind="image")

    return make


@pytest.fixture(scope="session")
def ids_of() -> Callable[[Sequence[Event]], list[int]]:
    """The ids of an answer's events, which must be complete."""

    def read(events: Sequence[Event]) -> list[int]:
        *deltas, last = events
        assert isinstance(last, Finished), last
        ids = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)).split()
        assert last.counts.completion == len(ids)
        return [int(id_) for id_ in ids]

    return read


@pytest.fixture(scope="session")
def greedy() -> Callable[[int], Sampling]:
    return lambda number: Sampling(max_tokens=number)
