"""Training steps on one language model held in NF4: this project's, and the plain recipe's.

The plain recipe is what transformers and peft do by themselves: `prepare_model_for_kbit_training`
(embeddings, head and norms to float32), logits at every position, checkpointing, AdamW. Both train
the same perceiver on the same cached features, with or without LoRA.

Shapes: B samples, F features per media item, Q soft tokens, S positions.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from aligners.registry import build_aligner
from anymal.collate import collate
from anymal.llm.causal_lm import LLM
from anymal.llm.lora import LoraOptions, attach_lora
from anymal.llm.packing import allow_packing
from anymal.llm.precision import import_bitsandbytes
from anymal.model import AnyMAL
from anymal.recipe.schema import StageRecipe
from anymal.recipe.trains import TrainRule
from anymal.sample import IGNORED, SLOT_ID, Item, Sample, Slot
from benchmarks.gpu.shape import Shape, twin
from benchmarks.serving.shape import Numbers
from train.loop import optimise
from train.optimiser import build_optimiser

LR, CLIP_NORM = 1e-4, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a step did.

    Attributes:
        loss: In nats.
        positions: Of all samples.
        run: Those that the language model read; not a prefix whose keys and values were kept.
    """

    loss: float
    positions: int
    run: int


Step = Callable[[int], Done]
"""Takes one optimiser step on so many samples."""


def ours(base: LlamaForCausalLM, shape: Shape, *, lora: bool) -> Step:
    """This project's step, by its public path.

    Args:
        base: From `random_nf4`; its tensors are read, not changed.
        shape: What is trained.
        lora: Whether LoRA trains beside the aligner.

    Returns:
        The step.
    """
    tree = twin(base)
    tuner = attach_lora(tree, LoraOptions(r=shape.rank)) if lora else None
    llm = LLM(tree, Numbers(), precision="nf4", tuner=tuner)
    aligner = _aligner(base, shape)
    model = AnyMAL(
        encoders={"image": nn.Identity()},  # features come from a cache
        aligners={"image": aligner},
        llm=llm,
        stop_ids=[0],
    )
    rules = [TrainRule(what=what) for what in ("aligners.image", "llm.lora")[: 1 + lora]]
    model.set_trainable([rule.what for rule in rules])
    llm.use_checkpointing(True)
    if not lora:
        allow_packing(llm)
    optimiser = build_optimiser(model, stage_of(shape, lora=lora), rules)
    model.train()

    def step(num_samples: int) -> Done:
        samples = [_sample(shape, seed) for seed in range(num_samples)]
        batch = collate(samples, pad_id=0, splits_prefix=not lora)
        seen = optimise(model, optimiser, [batch], clip_norm=CLIP_NORM)
        return Done(loss=seen.loss, positions=batch.num_positions, run=batch.num_run)

    return step


def plain(base: LlamaForCausalLM, shape: Shape, *, lora: bool) -> Step:
    """The plain recipe's step; see the top of this file.

    Args:
        base: From `random_nf4`; its tensors are read, not changed.
        shape: What is trained.
        lora: Whether LoRA trains beside the aligner.

    Returns:
        The step.
    """
    import_bitsandbytes()
    import peft

    aligner = _aligner(base, shape)
    model: Any = twin(base)
    model = peft.prepare_model_for_kbit_training(
        model, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    if lora:
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=shape.rank, lora_alpha=16, target_modules="all-linear"
        )
        model = peft.get_peft_model(model, config)
    model.train()
    trained = [*aligner.parameters(), *(p for p in model.parameters() if p.requires_grad)]
    optimiser = torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)
    device = base.lm_head.weight.device

    def step(num_samples: int) -> Done:
        samples = [_sample(shape, seed) for seed in range(num_samples)]
        ids = torch.stack([sample.ids for sample in samples]).to(device)  # [B, S]
        labels = torch.stack([sample.labels for sample in samples]).to(device)
        features = collate(samples, pad_id=0).to(device).media["image"]
        optimiser.zero_grad()  # also what a step that ran out of memory left
        with _precision(device):
            rows = _rows(model, aligner, ids, features, shape)
            loss = model(inputs_embeds=rows, labels=labels).loss
        loss.backward()
        nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        optimiser.step()
        return Done(loss=loss.item(), positions=ids.numel(), run=ids.numel())

    return step


def stage_of(shape: Shape, *, lora: bool) -> StageRecipe:
    """The stage that a step is one of; for the optimiser, and for the plan."""
    return StageRecipe.model_validate(
        {
            "name": "measured",
            "kind": "instruct" if lora else "align",
            "data": [{"source": "none:none"}],
            "steps": 1,
            "batch_size": shape.most_samples,
            "checkpointing": True,
            "lr": LR,
        }
    )


def _rows(model: Any, aligner: nn.Module, ids: Tensor, features: Any, shape: Shape) -> Tensor:
    """What the language model reads, `[B, S, D_llm]`."""
    table = model.get_input_embeddings()
    start, end = shape.before, shape.before + shape.soft
    before, after = table(ids[:, :start]), table(ids[:, end:])
    return torch.cat([before, aligner(features).to(before.dtype), after], dim=1)


def _aligner(base: LlamaForCausalLM, shape: Shape) -> nn.Module:
    """The perceiver; always the same weights."""
    torch.manual_seed(0)
    table = base.get_input_embeddings().weight
    aligner = build_aligner(
        "perceiver",
        encoder_dim=shape.features[1],
        llm_dim=table.shape[1],
        embedding_rms=float(table.float().square().mean().sqrt()),
        num_tokens=shape.soft,
        **shape.aligner,
    )
    return aligner.to(table.device)


def _sample(shape: Shape, seed: int) -> Sample:
    """A sample with features as a cache gives them."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(shape.config.vocab_size, (shape.sample,), generator=random)
    ids[: shape.before] = torch.arange(shape.before)
    ids[shape.before : shape.before + shape.soft] = SLOT_ID
    labels = torch.full_like(ids, IGNORED)
    labels[-shape.learnt :] = ids[-shape.learnt :]
    num_features, _ = shape.features
    tensors = {
        "features.values": torch.randn(shape.features, generator=random).half(),
        "features.mask": torch.ones(num_features, dtype=torch.bool),
        "features.steps": torch.zeros(num_features, dtype=torch.int64),
    }
    return Sample(
        ids=ids,
        labels=labels,
        slots=(Slot(modality="image", start=shape.before, length=shape.soft),),
        media={"image": [Item(tensors=tensors, digest=str(seed))]},
        name=str(seed),
    )


def _precision(device: torch.device) -> AbstractContextManager[object]:
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
