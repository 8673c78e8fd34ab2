"""Puts questions to an assistant, several at a time, and returns the texts of its answers.

Does not score. The processor, the soft tokens and the engine are those that serve.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from anymal.engine.events import TextDelta
from anymal.engine.sampling import Sampling
from anymal.serving.assistant import Assistant

Progress = Callable[[int, int], None]


def answer_all(
    assistant: Assistant,
    prompts: Sequence[Mapping[str, Any]],
    *,
    base_dir: Path | None,
    batch_size: int,
    sampling: Sampling,
    progress: Progress | None = None,
) -> list[str]:
    """Answer conversations.

    Args:
        assistant: What answers.
        prompts: Conversations that end with a question.
        base_dir: Folder that media paths are relative to; None refuses paths.
        batch_size: How many questions are answered at a time.
        sampling: How answers are drawn. With a seed, each prompt gets its own, counted up from
            it, so that the same prompt asked twice is drawn twice.
        progress: Called after each answer with the number of answers given, and of all.

    Returns:
        One text for each prompt, in their order.

    Raises:
        ConversationError: The model does not take a conversation.
        MediaError: A medium cannot be read or decoded.
    """

    def ask(number: int) -> str:
        own = sampling
        if sampling.seed is not None:
            own = replace(sampling, seed=sampling.seed + number)
        sample = assistant.processor(prompts[number], base_dir=base_dir, generate=True)
        prompt = assistant.soft_tokens.prompt(sample)
        with closing(assistant.engine.submit(prompt, own)) as events:
            pieces = [event.text for event in events if isinstance(event, TextDelta)]
        return "".join(pieces).strip()

    texts: list[str] = []
    with ThreadPoolExecutor(max_workers=batch_size) as pool:
        for text in pool.map(ask, range(len(prompts))):
            texts.append(text)
            if progress is not None:
                progress(len(texts), len(prompts))
    return texts
