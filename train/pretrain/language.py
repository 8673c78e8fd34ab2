"""Train the built-in language model from nothing on the world in words.

    python -m train.pretrain.language --out runs/tiny/llm

A byte-level BPE is learned first, then a small Llama. Conversations are written by the same chat
template and processor that write them later, with descriptions where media will be.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from anymal.chat import build_template
from anymal.processor import IGNORED, Processor, Sample
from train.pretrain.world import draw_look_up, draw_passage, to_conversation

_VOCABULARY = 1024
_MAX_TOKENS = 1024
_BATCH_SIZE = 48
_LR = 2e-3
_WARMUP_STEPS = 100
# Questions and descriptions are drawn by chance; only answers can be known.
_CONTEXT_WEIGHT = 0.02
# Soft tokens only come near to words; noise on the embeddings widens what is understood.
_NOISE = 0.05
# Words of one class, such as the colours, start apart. In a table that is also the output head,
# small vectors are first drawn together by class, and take thousands of steps to part again.
_WORD_STD = 0.1
_HELD_OUT = 512

# Llama-2-chat's own template, in Jinja, for whoever loads the tokeniser without us.
_CHAT_TEMPLATE = (
    "{% set start = 1 if messages[0]['role'] == 'system' else 0 %}"
    "{% for message in messages[start:] %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }}"
    "{% if loop.first and start %}"
    "{{ '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' }}{% endif %}"
    "{{ message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)


def main(
    out: Annotated[Path, typer.Option(help="folder to write the language model to")],
    steps: Annotated[int, typer.Option(help="optimiser steps")] = 2000,
    seed: Annotated[int, typer.Option(help="of weights and passages")] = 0,
    start: Annotated[Path | None, typer.Option(help="a language model to train further")] = None,
    look_ups: Annotated[float, typer.Option(help="share of passages that are looked up")] = 0.0,
) -> None:
    """Train the language model and save it in half precision with its tokeniser."""
    torch.manual_seed(seed)
    if start is None:
        tokenizer: Any = train_tokenizer(np.random.default_rng([seed, 0]))
        model: Any = LlamaForCausalLM(_design(tokenizer))
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=_WORD_STD)
    else:
        tokenizer = AutoTokenizer.from_pretrained(start)
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32).train()
    processor = Processor(
        tokenizer=tokenizer,
        template=build_template("llama2", tokenizer),
        modalities={},
        max_tokens=_MAX_TOKENS,
    )
    _fit(model, processor, steps, look_ups, np.random.default_rng([seed, 1]))
    report = {"answers fully right": _measure(model, processor, np.random.default_rng([seed, 2]))}
    typer.echo(json.dumps(report))
    tokenizer.save_pretrained(out)
    model.to(torch.bfloat16).save_pretrained(out)
    (out / "pretraining.json").write_text(json.dumps(report) + "\n")


def train_tokenizer(rng: np.random.Generator) -> Any:
    """Learn a byte-level BPE on passages of the world."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (
        "\n".join(f"[INST] {message['content']} [/INST]" for message in conversation["messages"])
        for conversation in (to_conversation(draw_passage(rng), rng) for _ in range(10_000))
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=_MAX_TOKENS,
    )


def _design(tokenizer: Any) -> LlamaConfig:
    """A Llama of about two million parameters."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=3,
        max_position_embeddings=_MAX_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _draw(processor: Processor, rng: np.random.Generator, look_ups: float = 0.0) -> Sample:
    """One conversation; a share of them about look-ups only."""
    passage = draw_look_up(rng) if rng.random() < look_ups else draw_passage(rng)
    return processor(to_conversation(passage, rng))


def _pad(rows: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def _loss(model: Any, samples: list[Sample], pad_id: int) -> Tensor:
    """Weighted next-token loss; padding follows the text, where causal attention never looks."""
    ids = _pad([sample.ids for sample in samples], pad_id)
    labels = _pad([sample.labels for sample in samples], IGNORED)
    is_text = _pad([torch.ones_like(sample.ids) for sample in samples], 0)
    table = model.get_input_embeddings()(ids)
    noise = torch.randn_like(table) * _NOISE * table.detach().std()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs_embeds=table + noise).logits
    weight = torch.where(labels != IGNORED, 1.0, _CONTEXT_WEIGHT) * is_text
    each = F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
    )
    weight = weight[:, 1:].flatten()
    return (each * weight).sum() / weight.sum()


def _fit(
    model: Any, processor: Processor, steps: int, look_ups: float, rng: np.random.Generator
) -> None:
    """AdamW with a warm-up and a cosine decay."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=_LR, weight_decay=0.05, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LR, total_steps=steps, pct_start=min(0.5, _WARMUP_STEPS / steps)
    )
    for _ in track(range(steps), description="language model"):
        # Long and short passages apart, so that little of a batch is padding.
        samples = sorted(
            (_draw(processor, rng, look_ups) for _ in range(2 * _BATCH_SIZE)),
            key=lambda s: len(s.ids),
        )
        first = int(rng.integers(2)) * _BATCH_SIZE
        loss = _loss(model, samples[first : first + _BATCH_SIZE], processor.pad_id)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()


@torch.no_grad()
def _measure(model: Any, processor: Processor, rng: np.random.Generator) -> float:
    """Share of conversations whose every answer token is the likeliest one."""
    model.eval()
    right = 0
    for _ in range(_HELD_OUT):
        sample = _draw(processor, rng)
        guesses = model(input_ids=sample.ids[None]).logits[0, :-1].argmax(dim=-1)
        labels = sample.labels[1:]
        right += bool(((guesses == labels) | (labels == IGNORED)).all())
    return right / _HELD_OUT


if __name__ == "__main__":
    typer.run(main)
