"""Puts questions to a model and returns the texts of its answers.

Does not score, and has no path of its own: processor, collate and model are the ones that serve.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.engine.sampling import Sampling

Progress = Callable[[int, int], None]


def answer_all(
    assembled: Assembled,
    prompts: Sequence[Mapping[str, Any]],
    *,
    base_dir: Path | None,
    batch_size: int,
    max_tokens: int,
    progress: Progress | None = None,
) -> list[str]:
    """Answer conversations greedily, in batches.

    Args:
        assembled: The model and its processor.
        prompts: Conversations that end with a question.
        base_dir: Folder that media paths are relative to; None refuses paths.
        batch_size: Questions answered at a time.
        max_tokens: Most tokens of an answer.
        progress: Hears answers given and answers in all, after each batch.

    Returns:
        One text for each prompt.

    Raises:
        ConversationError: The model does not take a conversation.
        MediaError: A medium cannot be read or decoded.
    """
    texts: list[str] = []
    for start in range(0, len(prompts), batch_size):
        texts += _answer_batch(assembled, prompts[start : start + batch_size], base_dir, max_tokens)
        if progress is not None:
            progress(len(texts), len(prompts))
    return texts


def _answer_batch(
    assembled: Assembled,
    prompts: Sequence[Mapping[str, Any]],
    base_dir: Path | None,
    max_tokens: int,
) -> list[str]:
    """Answer a few conversations side by side."""
    processor, model = assembled.processor, assembled.model
    samples = [processor(prompt, base_dir=base_dir, generate=True) for prompt in prompts]
    batch = collate(samples, pad_id=processor.pad_id, side="left").to(model.device)
    answers: list[list[int]] = [[] for _ in prompts]
    for step in model.generate(batch, sampling=Sampling(max_tokens=max_tokens)):
        for ids, new_id in zip(answers, step, strict=True):
            if new_id is not None:
                ids.append(new_id)
    return [processor.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in answers]
