"""What an engine tells, in OpenAI's shapes: probabilities and token counts.

Does not write responses; `completions` and `sse` do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from anymal.client.answer import as_logprob, usage_of
from anymal.engine.events import TokenCounts
from anymal.engine.events import TokenLogprob as Drawn
from anymal.protocol.responses import ChoiceLogprobs, Usage


def logprobs_of(drawn: Sequence[Drawn]) -> ChoiceLogprobs:
    """How likely some tokens were.

    Args:
        drawn: The tokens, in order.

    Returns:
        The same as a choice carries it.
    """
    return ChoiceLogprobs(content=[as_logprob(each) for each in drawn])


def usage_of_all(counts: Mapping[int, TokenCounts]) -> Usage:
    """Token counts of several answers to one prompt, which is counted once.

    Args:
        counts: Of each answer, by its index.

    Returns:
        The sum; what was cached is what the first answer found so.
    """
    completion = sum(each.completion for each in counts.values())
    return usage_of(replace(counts[min(counts)], completion=completion))
