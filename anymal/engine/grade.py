"""Grades given answers: the log-probability of each of their tokens, where the layers have run.

Does not run the layers. An answer's tokens may come in several steps; the last one tells.

Shapes: T positions of a stretch, N graded positions, D layer width, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from anymal.engine.events import Likelihood
from anymal.engine.request import Work
from anymal.errors import EngineError
from anymal.llm.causal_lm import LLM
from anymal.llm.cross_entropy import chunk_rows


def grade_all(
    llm: LLM, works: Sequence[Work], hidden: Sequence[Tensor]
) -> list[Likelihood | Exception | None]:
    """Grade the stretches of given answers.

    Args:
        llm: Its head scores positions.
        works: Stretches of requests with given answers.
        hidden: Of each, `[T, D]`.

    Returns:
        For each stretch the likelihood of its answer, if it is complete, or what went wrong.
    """
    wanted = [_wanted(work) for work in works]
    ids = torch.tensor(sum(wanted, ()), dtype=torch.int64, device=llm.device)
    rows = torch.cat(
        [own[len(own) - len(each) :] for own, each in zip(hidden, wanted, strict=True)]
    )
    graded = _grade(llm, rows, ids)
    for work, own in zip(works, wanted, strict=True):
        work.request.graded += graded[: len(own)]
        del graded[: len(own)]
    return [_told(work) if work.is_complete else None for work in works]


def _wanted(work: Work) -> tuple[int, ...]:
    """The ids that the last positions of a stretch predict."""
    given, length = work.request.given, work.request.prompt_length
    first = length - len(given)  # the position that predicts the answer's first id
    return given[max(0, work.start - first) : max(0, work.stop - first)]


@torch.no_grad()
def _grade(llm: LLM, rows: Tensor, ids: Tensor) -> list[tuple[float, bool]]:
    """The log-probability of each id, and whether it is the likeliest; few scores at a time."""
    most = chunk_rows(llm.vocab_size)
    graded: list[tuple[float, bool]] = []
    for own, targets in zip(torch.split(rows, most), torch.split(ids, most), strict=True):
        if len(own) == 0:
            continue
        logits = llm.head(own)
        scores = logits.gather(1, targets[:, None])[:, 0]
        logprobs = scores - logits.logsumexp(dim=-1)
        graded += zip(logprobs.tolist(), (logits.argmax(dim=-1) == targets).tolist(), strict=True)
    return graded


def _told(work: Work) -> Likelihood | Exception:
    request = work.request
    likelihood = Likelihood(
        logprobs=tuple(logprob for logprob, _ in request.graded),
        is_greedy=all(is_likeliest for _, is_likeliest in request.graded),
    )
    assert len(likelihood.logprobs) == len(request.given), "each given token is graded once"
    if not torch.tensor(likelihood.logprobs).isfinite().all():
        return EngineError("the model's scores are not finite; check what it was given")
    return likelihood
