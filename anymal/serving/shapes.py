"""What an engine reports, in the API's shapes: probabilities, token counts, and why it ended.

Does not write responses; `server.answering.completions` and `server.answering.sse` do.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from anymal.engine.events import EndReason, Likelihoods, Logprob, TokenCounts
from anymal.protocol.responses import (
    AnswerLikelihood,
    ChoiceLogprobs,
    FinishReason,
    LikelihoodReply,
    TokenLogprob,
    TopLogprob,
    Usage,
)

# JSON has no infinity; OpenAI sends this for tokens that cannot be drawn.
_LEAST = -9999.0


def logprob_of(logprob: Logprob) -> TokenLogprob:
    """How likely one token was."""
    return TokenLogprob(
        token=logprob.token,
        bytes=list(logprob.bytes_),
        logprob=max(logprob.logprob, _LEAST),
        top_logprobs=[
            TopLogprob(token=token, bytes=list(bytes_), logprob=max(value, _LEAST))
            for token, bytes_, value in logprob.top
        ],
    )


def logprobs_of(logprobs: Sequence[Logprob]) -> ChoiceLogprobs:
    """How likely the tokens of a choice were, in order."""
    return ChoiceLogprobs(content=[logprob_of(each) for each in logprobs])


def finish_reason_of(reason: EndReason) -> FinishReason:
    """Why an answer ended; OpenAI's clients know no word for an answer that repeated itself."""
    return "stop" if reason == "repetition" else reason


def usage_of(counts: TokenCounts) -> Usage:
    """Token counts of one answer."""
    return Usage(
        prompt_tokens=counts.prompt,
        completion_tokens=counts.completion,
        total_tokens=counts.prompt + counts.completion,
        prompt_tokens_details={
            "cached_tokens": counts.cached,
            **{f"{kind}_tokens": number for kind, number in counts.by_kind.items()},
        },
    )


def usage_of_all(counts: Mapping[int, TokenCounts]) -> Usage:
    """Token counts of several answers to one prompt, which is counted once.

    Args:
        counts: Of each answer, by its index.

    Returns:
        The sum; the cached tokens are those that the first answer found in the cache.
    """
    completion = sum(each.completion for each in counts.values())
    return usage_of(replace(counts[min(counts)], completion=completion))


def likelihood_reply(found: Likelihoods, *, model: str) -> LikelihoodReply:
    """How likely given answers are, each by itself and among the others.

    Args:
        found: What the engine found.
        model: Whose name the reply bears.
    """
    sums = [math.fsum(each.logprobs) for each in found.answers]
    means = [total / len(each.logprobs) for total, each in zip(sums, found.answers, strict=True)]
    rows = zip(found.answers, sums, means, _softmax(sums), _softmax(means), strict=True)
    return LikelihoodReply(
        model=model,
        answers=[
            AnswerLikelihood(
                sum=total,
                per_token=mean,
                tokens=len(each.logprobs),
                is_greedy=each.is_greedy,
                probability=by_sum,
                probability_per_token=by_mean,
            )
            for each, total, mean, by_sum, by_mean in rows
        ],
        usage=usage_of(found.counts),
    )


def _softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities in proportion to the exponentials of some scores."""
    most = max(scores)
    weights = [math.exp(score - most) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
