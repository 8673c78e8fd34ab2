"""Puts questions to an assistant, one or several at a time.

Does not score. The processor, the soft tokens and the engine are those that serve.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anymal.assemble import Assembled
from anymal.engine.events import EndReason, Finished, TextDelta
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget
from anymal.serving.assistant import Assistant, start_assistant

# Nobody waits for the next word, so prompts need not be cut into short chunks beside answers.
_STEP_TOKENS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model said.

    Attributes:
        text: Its words.
        ended: Why they end: the model stopped, or the limit of tokens was reached.
        choice: Which choice that is, where it was asked for by letter or likelihood; else None.
        likelihoods: Of all choices, the log-likelihoods; empty where they were not asked for.
    """

    text: str
    ended: EndReason
    choice: str | None = None
    likelihoods: tuple[float, ...] = ()


def start_batch_assistant(assembled: Assembled, *, name: str, batch_size: int) -> Assistant:
    """Start an assistant that answers many questions soon rather than each without a pause.

    Args:
        assembled: In eval mode; nothing else may use it until the assistant is closed.
        name: What answers call the model.
        batch_size: How many questions are answered at a time.
    """
    budget = batch_budget(batch_size)
    return start_assistant(assembled, name=name, max_waiting=batch_size, budget=budget)


def batch_budget(batch_size: int) -> Budget:
    """What a step may hold where nobody waits for the next word.

    Args:
        batch_size: How many answers grow at a time.
    """
    return Budget(max_running=batch_size, step_tokens=_STEP_TOKENS, beside_decode=_STEP_TOKENS)


def answer(
    assistant: Assistant,
    prompt: Mapping[str, Any],
    *,
    base_dir: Path | None,
    sampling: Sampling,
) -> Reply:
    """Answer a conversation.

    Args:
        assistant: From `start_batch_assistant`, or any other.
        prompt: A conversation that ends with a question.
        base_dir: Folder that media paths are relative to; None refuses paths.
        sampling: How the answer is drawn.

    Raises:
        ConversationError: The model does not take the conversation.
        MediaError: A medium cannot be read or decoded.
    """
    sample = assistant.processor(prompt, base_dir=base_dir, generate=True)
    with closing(
        assistant.engine.submit(assistant.soft_tokens.prompt(sample), sampling)
    ) as submitted:
        events = list(submitted)
    (ended,) = [event.reason for event in events if isinstance(event, Finished)]
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    return Reply(text="".join(pieces).strip(), ended=ended)


def answer_all(
    assistant: Assistant,
    prompts: Sequence[Mapping[str, Any]],
    *,
    base_dir: Path | None,
    batch_size: int,
    sampling: Sampling,
) -> Iterator[Reply]:
    """Answer conversations.

    Args:
        assistant: From `start_batch_assistant`, or any that lets `batch_size` requests wait.
        prompts: Conversations that end with a question.
        base_dir: Folder that media paths are relative to; None refuses paths.
        batch_size: How many questions are answered at a time.
        sampling: How answers are drawn. With a seed, each prompt gets its own, counted up from
            it, so that the same prompt asked twice is drawn twice.

    Yields:
        One reply for each prompt, in their order.

    Raises:
        AnymalError: See `answer`.
    """

    def ask(number: int) -> Reply:
        own = sampling
        if sampling.seed is not None:
            own = replace(sampling, seed=sampling.seed + number)
        return answer(assistant, prompts[number], base_dir=base_dir, sampling=own)

    with ThreadPoolExecutor(max_workers=batch_size) as pool:
        yield from pool.map(ask, range(len(prompts)))
