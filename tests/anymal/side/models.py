"""Small models whose media stand beside the row, and samples of them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from anymal.collate import collate
from anymal.llm.beside import let_read_beside
from anymal.llm.causal_lm import LLM
from anymal.model import AnyMAL
from anymal.sample import IGNORED, Item, Sample, Slot
from anymal.side.base import SideLayers
from encoders.base import EncoderInputs, Features

WIDTH, LAYERS, HEADS, WORDS = 32, 4, 4, 60
SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}


class Passing(nn.Module):
    """An encoder, or an aligner, that gives what it is given."""

    def forward(self, given: EncoderInputs | Features) -> Features | Tensor:
        if isinstance(given, Features):
            return given.values
        values = given.tensors["value"]
        mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return Features(values=values, mask=mask, steps=mask.long())


class Projecting(nn.Module):
    """An aligner of one layer."""

    def __init__(self, media_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(media_dim, media_dim)

    def forward(self, features: Features) -> Tensor:
        soft_tokens: Tensor = self.layer(features.values)
        return soft_tokens


def llama(**changes: Any) -> LlamaForCausalLM:
    """A random Llama."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**(SIZES | changes))).eval()


def beside(
    llama: LlamaForCausalLM, side: SideLayers | None, *, aligner: nn.Module | None = None
) -> AnyMAL:
    """A model with a side, and aligners that pass media on unless another is given."""
    llm = LLM(llama, SimpleNamespace(eos_token_id=1), precision="fp32", tuner=None)
    if side is not None:
        let_read_beside(llm)
    model = AnyMAL(
        encoders={"image": Passing()},
        aligners={"image": aligner or Passing()},
        llm=llm,
        side=side,
        stop_ids={1},
    )
    weights = [name for name, _ in model.named_parameters()]
    parts = ("aligners.image", "side")
    model.set_trainable([part for part in parts if any(w.startswith(part) for w in weights)])
    return model.eval()


def sample(ids: Sequence[int], pictures: dict[int, Tensor], *, name: str = "sample") -> Sample:
    """Words, all of them learnt, and pictures `[Q, D_side]` by the position they stand before."""
    words = torch.tensor(ids)
    labels = words.clone()
    labels[0] = IGNORED
    return Sample(
        ids=words,
        labels=labels,
        slots=tuple(Slot(modality="image", start=place, length=0) for place in pictures),
        media={
            "image": [
                Item(tensors={"value": each[None]}, digest=str(float(each.sum())))
                for each in pictures.values()
            ]
        }
        if pictures
        else {},
        name=name,
    )


def samples(media_dim: int, num_tokens: int) -> list[Sample]:
    """Five of different lengths: two pictures, one, none, one at the very first word, and three.

    One picture is in two of them.
    """
    random = torch.Generator().manual_seed(1)
    made = []
    first = torch.randn(num_tokens, media_dim, generator=random)
    for number, (length, places) in enumerate(
        [(13, (2, 6)), (21, (4,)), (9, ()), (14, (0,)), (20, (1, 7, 15))]
    ):
        ids = torch.randint(3, WORDS, (length,), generator=random).tolist()
        pictures = {p: torch.randn(num_tokens, media_dim, generator=random) for p in places}
        if number == 1:
            pictures[4] = first
        if number == 4:
            pictures[7] = first
        made.append(sample(ids, pictures, name=str(number)))
    return made


@torch.no_grad()
def logits(model: AnyMAL, chosen: Sequence[Sample], *, is_packed: bool = False) -> list[Tensor]:
    """Logits `[S, V]` of samples that run together."""
    batch = collate(chosen, pad_id=2, is_packed=is_packed)
    soft_tokens = model.align(model.encode(batch.media))
    side = model.beside(batch, soft_tokens)
    hidden = model.decode(model.fuse(batch, soft_tokens), batch, side)
    rows = hidden.flatten(0, 1)
    return [model.llm.head(rows[each.start : each.start + each.length]) for each in batch.readers]


def open_gates(side: SideLayers) -> None:
    """Give all gates other values than zero."""
    torch.manual_seed(3)
    for name, parameter in side.named_parameters():
        if ".gate" in name and parameter.ndim == 1:
            nn.init.normal_(parameter, std=1.0)
