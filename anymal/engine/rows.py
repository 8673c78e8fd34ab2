"""Positions of a request to the rows that a language model reads.

Does not run the model's layers.

Shapes: S positions, D_llm embedding width.
"""

import torch
from torch import Tensor

from anymal.engine.prompt import Prompt, SideSpan, TokenSpan
from anymal.engine.request import Request, Work
from anymal.engine.side import Beside
from anymal.errors import EngineError
from anymal.llm.causal_lm import LLM


def check_prompt(llm: LLM, prompt: Prompt, beside: Beside | None = None) -> None:
    """Refuse words and embeddings that the model cannot read.

    Args:
        llm: The model.
        prompt: What it is asked.
        beside: How it reads media that stand in no position; None refuses them.

    Raises:
        EngineError: An id is outside the vocabulary, or an embedding has another width.
    """
    if beside is not None:
        beside.check(prompt)
    elif prompt.beside:
        raise EngineError("media stand beside the row, but the model has no side layers to read it")
    size, width = llm.vocab_size, llm.hidden_size
    for span in prompt.spans:
        if isinstance(span, TokenSpan):
            if wrong := [id_ for id_ in span.ids if not 0 <= id_ < size]:
                raise EngineError(f"the prompt holds id {wrong[0]}; allowed: 0 to {size - 1}")
        elif isinstance(span, SideSpan):
            continue
        elif span.embeddings.ndim != 2 or span.embeddings.shape[1] != width:
            shape = list(span.embeddings.shape)
            raise EngineError(
                f"{span.kind} embeddings have shape {shape}; allowed: [positions, {width}]"
            )


def embed_request(llm: LLM, request: Request) -> Tensor:
    """Everything known of a request as the model reads it.

    Args:
        llm: Gives words their embeddings, and all of them device and dtype.
        request: Its prompt, and what it answered so far.

    Returns:
        `[S, D_llm]`.
    """
    spans = [*request.prompt.spans, TokenSpan(ids=tuple(request.ids))]
    rows = [
        embed_ids(llm, span.ids)
        if isinstance(span, TokenSpan)
        else span.embeddings.to(llm.device, llm.dtype)
        for span in spans
        if not isinstance(span, SideSpan)
    ]
    return torch.cat(rows)


def embed_work(llm: LLM, work: Work) -> Tensor:
    """The positions of one stretch as the model reads them, `[stop - start, D_llm]`."""
    request, first = work.request, work.start - work.request.prompt_length
    if first >= 0:  # words of the answer: the prompt need not be put together again
        return embed_ids(llm, tuple(request.ids[first : work.stop - request.prompt_length]))
    return embed_request(llm, request)[work.start : work.stop]


def embed_ids(llm: LLM, ids: tuple[int, ...]) -> Tensor:
    """Words as the model reads them, `[T, D_llm]`."""
    return llm.embed(torch.tensor(ids, dtype=torch.int64, device=llm.device))
