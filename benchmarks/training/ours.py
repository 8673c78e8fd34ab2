"""This project's training step on the one shape, over the very tensors of the LLaVA beside it.

The public path and nothing else: `collate`, `AnyMAL`, `build_optimiser`, `optimise`. With the `mlp`
aligner it computes what that LLaVA computes, so that their losses can be compared.
"""

from dataclasses import replace

import torch
from torch import nn
from transformers import CLIPImageProcessorPil, LlamaConfig, LlamaForCausalLM

from aligners.registry import build_aligner
from anymal.collate import Batch, collate
from anymal.llm.packing import allow_packing
from anymal.model import AnyMAL
from anymal.recipe.schema import DataRecipe, StageRecipe
from anymal.recipe.trains import TrainRule
from benchmarks.serving.shape import NUM_SOFT, WIDE, as_llm
from benchmarks.training.peers import CLIP_NORM, LR, Contender, Peer, Work, counted
from benchmarks.training.shape import BATCH, LAYER, VIT, Lesson
from encoders.frozen import FrozenEncoder
from encoders.images import ImagePreprocessor
from encoders.vision_read import ReadTokens
from train.loop import optimise
from train.optimiser import build_optimiser

# As deep as Idefics2's resampler, and as wide.
ALIGNERS = {
    "mlp": {"normalise": False},
    "perceiver": {"depth": 3, "num_heads": 12, "head_dim": 64, "hidden_dim": WIDE["hidden_size"]},
}


def ours(llava: Peer, kind: str, *, is_cached: bool) -> Contender:
    """Build a model around a peer's vision tower and language model.

    Args:
        llava: The peer; `mlp` starts with a copy of its projector.
        kind: A key of `ALIGNERS`.
        is_cached: Whether features come from a cache instead of pixels.

    Returns:
        The contender.
    """
    model = AnyMAL(
        encoders={"image": _encoder(llava)},
        aligners={"image": _aligner(llava, kind)},
        llm=as_llm(_llama(llava)),
        stop_ids=[0],
    )
    allow_packing(model.llm)
    parts = model.set_trainable(["aligners.image"])
    optimiser = build_optimiser(model, _stage(), [TrainRule(what="aligners.image")])
    model.train()
    run = counted(model.llm.model.base_model)

    def prepare(lesson: Lesson) -> Batch:
        batch = collate(lesson.samples, pad_id=0, splits_prefix=True)
        return _with_features(model, batch) if is_cached else batch

    def step(batch: Batch) -> Work:
        run.clear()
        seen = optimise(model, optimiser, [batch], clip_norm=CLIP_NORM)
        positions = batch.num_positions
        return Work(loss=seen.loss, positions=positions, run=sum(run), learnt=seen.targets)

    return Contender(
        prepare=prepare,
        step=step,
        language=sum(parameter.numel() for parameter in model.llm.parameters()),
        trained=sum(part.trainable for part in parts),
    )


def _with_features(model: AnyMAL, batch: Batch) -> Batch:
    """The batch as it comes from a feature cache: float16, and no pixels."""
    features = model.encode(batch.media)
    media = {name: replace(seen, values=seen.values.half()) for name, seen in features.items()}
    return replace(batch, media=media)


def _encoder(llava: Peer) -> FrozenEncoder:
    size = {"height": VIT["image_size"], "width": VIT["image_size"]}
    return FrozenEncoder(
        kind="vision",
        model=llava.model.model.vision_tower,
        preprocessor=ImagePreprocessor(processor=CLIPImageProcessorPil(size=size, crop_size=size)),
        read=ReadTokens(layer=LAYER, drop_cls=True, pool=None),
        width=VIT["hidden_size"],
    )


def _llama(llava: Peer) -> LlamaForCausalLM:
    """Another module tree over the peer's language model and head."""
    with torch.device("meta"):
        llama = LlamaForCausalLM(LlamaConfig(**WIDE))
    state = {f"model.{name}": tensor for name, tensor in llava.language.state_dict().items()}
    state["lm_head.weight"] = llava.model.lm_head.weight
    llama.load_state_dict(state, assign=True)
    # Buffers that no state holds were left on meta.
    llama.model.rotary_emb = llava.language.rotary_emb
    return llama


@torch.no_grad()
def _aligner(llava: Peer, kind: str) -> nn.Module:
    torch.manual_seed(0)
    table = llava.language.get_input_embeddings().weight
    aligner = build_aligner(
        kind,
        encoder_dim=VIT["hidden_size"],
        llm_dim=WIDE["hidden_size"],
        embedding_rms=float(table.square().mean().sqrt()),
        num_tokens=NUM_SOFT,
        **ALIGNERS[kind],
    )
    if kind == "mlp":
        (projector,) = llava.connector
        copies = zip(aligner.project.parameters(), projector.parameters(), strict=True)
        for own, given in copies:
            own.copy_(given)
        aligner.scale.fill_(1.0)
    return aligner


def _stage() -> StageRecipe:
    """What the optimiser is built from."""
    return StageRecipe(
        name="align",
        kind="align",
        data=[DataRecipe(source="none:none")],
        steps=1,
        batch_size=BATCH,
        lr=LR,
    )
