"""One prompt to the events of its answer.

Does not queue, batch or start threads; engines do.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace

from anymal.engine.base import Decoder
from anymal.engine.events import Event, Finished, FinishReason, TextDelta, TokenCounts
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.text import AnswerText
from anymal.errors import TooLong


def answer(
    decoder: Decoder,
    prompt: Prompt,
    sampling: Sampling,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Decode one prompt.

    Args:
        decoder: The model's side.
        prompt: What to continue.
        sampling: Limits, randomness and stop strings.
        is_cancelled: Asked once per step; the events end when it says yes.

    Yields:
        `TextDelta` any number of times, then `Finished`.

    Raises:
        TooLong: If no token fits behind the prompt.
    """
    counts = prompt.counts()
    limit = min(sampling.max_tokens, decoder.room(prompt))
    if limit < 1:
        raise TooLong(
            f"the prompt has {len(prompt)} tokens and fills the model's context; "
            "shorten the text or send fewer media"
        )
    text = AnswerText(decoder.text, sampling.stop)
    reason: FinishReason = "stop"
    num_tokens = 0
    with closing(_as_generator(decoder, prompt, replace(sampling, max_tokens=limit))) as tokens:
        for token in tokens:
            if is_cancelled():
                return
            num_tokens += 1
            if piece := text.push(token):
                yield TextDelta(text=piece)
            if text.has_stopped:
                break
            if num_tokens == limit:
                reason = "length"
                break
    if piece := text.flush():
        yield TextDelta(text=piece)
    yield Finished(
        reason="stop" if text.has_stopped else reason,
        counts=TokenCounts(prompt=len(prompt), completion=num_tokens, by_kind=dict(counts)),
    )


def _as_generator(decoder: Decoder, prompt: Prompt, sampling: Sampling) -> Generator[int]:
    """The decoder's ids; closing it closes the decoder's own generator."""
    yield from decoder.decode(prompt, sampling)
