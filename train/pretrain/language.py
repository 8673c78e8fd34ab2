"""Train the built-in language model from nothing on the world in words.

    python -m train.pretrain.language --out runs/tiny/llm-first
    python -m train.pretrain.language --start runs/tiny/llm-first --out runs/tiny/llm

A byte-level BPE is learned first, then a small Llama: on drills, which teach it to look things up,
then on the world. A second epoch goes over the world again, with rates that fall almost from the
start.
Conversations are written by the same chat template and processor that write them
later, with descriptions where media will be. Layers compute in bfloat16 where the CPU can.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from anymal.chat.template import build_template
from anymal.playground.words import PLACES
from anymal.processor import Processor
from anymal.sample import IGNORED, Sample
from train.pretrain.attention_start import start_attention
from train.pretrain.lessons import FIRST_EPOCH, SECOND_EPOCH, Epoch, Lessons
from train.pretrain.muon import Muon
from train.pretrain.world import Passage, draw_passage, draw_refusals, to_conversation

_VOCABULARY = 1024
_REFUSALS_READ = 0.05  # share of the tokeniser's text
_MAX_TOKENS = 1024
_MATRIX_LR, _LR = 0.01, 7e-4
_WARMUP_STEPS = 50
_HELD_OUT = 600
_REFUSALS = 120  # besides, those that end in a refusal, or nearly so
# Questions and descriptions are drawn by chance; only answers can be known.
_CONTEXT_WEIGHT = 0.02
# Yes or no comes first, or as a verdict after two values and a colon, and is one token of many.
_BEGINNING_WEIGHT = 4.0
# Soft tokens only come near to words; noise on the embeddings widens what is understood.
_NOISE = 0.05
# Words of one class, such as the colours, start apart. In a table that is also the output head,
# small vectors are first drawn together by class, and take thousands of steps to part again.
_WORD_STD = 0.15

# What may become a token: GPT-2's words, and places of two words. If "top left"
# were two tokens, things there and at the "top right" would share one, and would be learned slowly.
_PLACES = "|".join(place for place in PLACES if " " in place)
_WORDS = (
    rf" ?(?:{_PLACES})(?!\p{{L}})|'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)

# Llama-2-chat's own template, in Jinja, for those who load the tokeniser without this project.
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
    start: Annotated[
        Path | None,
        typer.Option(help="folder of the first epoch's model, to train the second epoch"),
    ] = None,
    steps: Annotated[int, typer.Option(help="optimiser steps")] = 1150,
    seed: Annotated[int, typer.Option(help="of weights and passages")] = 0,
    measure_every: Annotated[int, typer.Option(help="steps between two measurements")] = 400,
) -> None:
    """Train the language model and save it in half precision with its tokeniser."""
    torch.manual_seed(seed)
    epoch = FIRST_EPOCH if start is None else SECOND_EPOCH
    tokenizer, model = _begin(seed) if start is None else _go_on(start)
    if _has_bfloat16():
        model.set_attn_implementation("eager")  # there faster than SDPA's backward for short rows
    processor = Processor(
        tokenizer=tokenizer,
        template=build_template("llama2", tokenizer),
        modalities={},
        max_tokens=_MAX_TOKENS,
    )
    report: dict[str, float] = {}
    for step in _fit(model, processor, epoch, steps, np.random.default_rng([seed, 1])):
        if step % measure_every == 0 or step == steps:
            report = _measure(model, processor, np.random.default_rng([seed, 2]))
            typer.echo(f"step {step}: {json.dumps(report)}")
            _save(model, tokenizer, out, report)


def _begin(seed: int) -> tuple[Any, Any]:
    """A new tokeniser and an untrained model."""
    tokenizer = train_tokenizer(np.random.default_rng([seed, 0]))
    model: Any = LlamaForCausalLM(_design(tokenizer))
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=_WORD_STD)
    start_attention(model)
    return tokenizer, model


def _go_on(start: Path) -> tuple[Any, Any]:
    """The tokeniser and model that the first epoch saved."""
    model: Any = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(start), model.train()


def _save(model: Any, tokenizer: Any, out: Path, report: dict[str, float]) -> None:
    """Save model, tokeniser and measurements; the model in half precision."""
    tokenizer.save_pretrained(out)
    deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    (out / "pretraining.json").write_text(json.dumps(report, indent=1) + "\n")


def train_tokenizer(rng: np.random.Generator) -> Any:
    """Learn a byte-level BPE on passages of the world."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (
        "\n".join(f"[INST] {message['content']} [/INST]" for message in conversation["messages"])
        for conversation in (
            to_conversation(*_any_passages(rng), rng=rng, short=0.4) for _ in range(5_000)
        )
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


def _any_passages(rng: np.random.Generator) -> tuple[Passage, ...]:
    """What the tokeniser reads; mostly the world, whose words are to be single tokens."""
    return draw_refusals(rng) if rng.random() < _REFUSALS_READ else (draw_passage(rng),)


def _design(tokenizer: Any) -> LlamaConfig:
    """A Llama of about two million parameters."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        # Biases let a head look by place alone; slow rotary angles leave words alike far apart.
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        initializer_range=0.06,  # about 1 / sqrt(hidden_size)
        max_position_embeddings=_MAX_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16; where it does not, that is some thirty times as slow."""
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _pad(rows: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def _loss(model: Any, samples: list[Sample], tokenizer: Any) -> Tensor:
    """Weighted next-token loss; padding follows the text, where causal attention never looks."""
    ids = _pad([sample.ids for sample in samples], tokenizer.pad_token_id)
    labels = _pad([sample.labels for sample in samples], IGNORED)
    is_text = _pad([torch.ones_like(sample.ids) for sample in samples], 0)
    table = model.get_input_embeddings()(ids)
    noise = torch.randn_like(table) * _NOISE * table.detach().std()
    with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16()):
        logits = model(inputs_embeds=table + noise).logits
    weight = torch.where(labels != IGNORED, 1.0, _CONTEXT_WEIGHT) * is_text
    colon = tokenizer.convert_tokens_to_ids(":")
    follows = (labels[:, :-1] == IGNORED) | (labels[:, :-1] == colon)
    begins = (labels[:, 1:] != IGNORED) & follows
    weight[:, 1:][begins] = _BEGINNING_WEIGHT
    each = F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
    )
    weight = weight[:, 1:].flatten()
    return (each * weight).sum() / weight.sum()


def _fit(
    model: Any, processor: Processor, epoch: Epoch, steps: int, rng: np.random.Generator
) -> Iterator[int]:
    """Muon on the layers' matrices, AdamW on the rest; yields the number of steps done."""
    layers = {id(p) for p in model.model.layers.parameters() if p.ndim == 2}
    matrices = [p for p in model.parameters() if id(p) in layers]
    others = [p for p in model.parameters() if id(p) not in layers]
    optimisers = (
        Muon(matrices, lr=_MATRIX_LR, weight_decay=0.01),
        torch.optim.AdamW(others, lr=_LR, weight_decay=0.01, betas=(0.9, 0.98), fused=True),
    )

    def factor(step: int) -> float:
        falling = (steps - step) / max(1, round(steps * (1 - epoch.plateau)))
        return min(1.0, (step + 1) / _WARMUP_STEPS, falling)

    schedules = [torch.optim.lr_scheduler.LambdaLR(one, factor) for one in optimisers]
    drawn = Lessons(epoch, processor, rng)
    for step in track(range(steps), description="language model"):
        loss = _loss(model, drawn.batch(step / steps), processor.tokenizer)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        yield step + 1


@torch.no_grad()
def _measure(model: Any, processor: Processor, rng: np.random.Generator) -> dict[str, float]:
    """Share of answers whose every token is the likeliest one: of each task, and of all.

    Half of the questions ask for the answer alone. "all" is about the questions of the world; those
    that are to be refused, in words that no lesson has, count by themselves.
    """
    model.eval()
    right: dict[str, list[bool]] = {}
    every: list[bool] = []
    for number in range(_HELD_OUT + _REFUSALS):
        is_world = number < _HELD_OUT
        asked = _first_question(rng) if is_world else draw_refusals(rng, "heldout")
        sample = processor(to_conversation(*asked, rng=rng, short=0.5))
        guesses = model(input_ids=sample.ids[None]).logits[0, :-1].argmax(dim=-1)
        labels = sample.labels[1:]
        is_right = bool(((guesses == labels) | (labels == IGNORED)).all())
        task = asked[-1].questions[-1].task
        if is_world:
            every.append(is_right)
        elif not task.startswith("refused"):
            task = "near misses"
        right.setdefault(task, []).append(is_right)
    model.train()
    shares = {task: round(float(np.mean(right[task])), 3) for task in sorted(right)}
    return {"all": round(float(np.mean(every)), 3)} | shares


def _first_question(rng: np.random.Generator) -> tuple[Passage]:
    passage = draw_passage(rng)
    return (replace(passage, questions=passage.questions[:1]),)


if __name__ == "__main__":
    typer.run(main)
