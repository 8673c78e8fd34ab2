"""The answers of one rollout: what the policy says to some prompts, as tokens and as samples.

Does not grade answers (see `rewards.py`) and does not learn from them.

Shapes: S positions of a prompt, T tokens of its answer.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from anymal.engine.build import build_runner
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget
from anymal.engine.static import Said, answer_all
from anymal.engine.vocabulary import TokenizerVocabulary
from anymal.llm.packable import same_attention
from anymal.model import AnyMAL
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation
from anymal.sample import IGNORED, Sample
from anymal.serving.soft_tokens import SoftTokens
from train.random_state import random_state, set_random_state

_BUDGET = Budget(max_running=32, step_tokens=2048, beside_decode=2048)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompted:
    """A record that is asked about.

    Attributes:
        record: As it was read.
        conversation: Up to the question.
        sample: The same, processed to be answered.
        base_dir: Folder that its media paths are relative to.
        where: Names the record in messages.
    """

    record: Mapping[str, Any]
    conversation: Conversation
    sample: Sample
    base_dir: Path | None
    where: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """An answer of the policy.

    Attributes:
        prompted: What it answers.
        said: Its tokens.
        text: Its words.
        sample: Prompt and answer, whose tokens are to be learnt; its name is this answer's own.
    """

    prompted: Prompted
    said: Said
    text: str
    sample: Sample


def answers_to(
    prompts: Sequence[Prompted],
    samplings: Sequence[Sampling],
    *,
    model: AnyMAL,
    processor: Processor,
    name: str,
) -> list[Answered]:
    """Let the policy answer; nothing of the training changes.

    Args:
        prompts: What is asked; the same may come several times.
        samplings: How each is answered.
        model: The policy.
        processor: Gives its tokeniser.
        name: Begins the names of samples.

    Raises:
        AnymalError: A prompt cannot be answered.
    """
    was_training, state = model.training, random_state()
    model.eval()
    with same_attention(model.llm), torch.no_grad():
        with closing(SoftTokens(model)) as soft:
            asked = [soft.prompt(each.sample) for each in prompts]
        runner = build_runner(
            model.llm,
            model.side,
            TokenizerVocabulary(model.llm.tokenizer),
            model.stop_ids,
            context=model.llm.context or processor.max_tokens,
            cache_bytes=None,
        )
        said = answer_all(runner, asked, samplings, budget=_BUDGET)
    model.train(was_training)
    set_random_state(state)
    names = [f"{name}, answer {n} ({each.where})" for n, each in enumerate(prompts, start=1)]
    return [
        Answered(
            prompted=prompted,
            said=own,
            text=_text(own, processor),
            sample=_learnt(prompted.sample, own, name=own_name),
        )
        for prompted, own, own_name in zip(prompts, said, names, strict=True)
    ]


def _text(said: Said, processor: Processor) -> str:
    """The words of an answer, without the token that ends it."""
    ids = said.ids[: len(said.ids) - said.has_ended]
    return str(processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def _learnt(prompt: Sample, said: Said, *, name: str) -> Sample:
    """Prompt and answer in one row; what is learnt is the answer, token by token as it was said."""
    ids = torch.tensor(said.ids, dtype=torch.int64)
    facts = prompt.facts
    if facts is not None:
        facts = torch.cat([facts, torch.zeros(len(ids), dtype=torch.bool)])
    return replace(
        prompt,
        ids=torch.cat([prompt.ids, ids]),
        labels=torch.cat([torch.full_like(prompt.ids, IGNORED), ids]),
        facts=facts,
        name=name,
    )
