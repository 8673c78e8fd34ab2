"""LLaMA-2-70B's shape with random NF4 weights, made layer by layer where it runs, and a tiny twin.

Nothing is downloaded and nothing passes through the machine's own memory. All contenders read the
same tensors. Does not train or decode.

Shapes: F features per media item, Q soft tokens, D_enc encoder width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from anymal.llm.precision import compute_dtype, import_bitsandbytes
from anymal.recipe.known_configs import config_of

_STD = 0.02  # small enough for finite activations after 80 layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is measured.

    Attributes:
        config: Of the language model.
        features: F and D_enc, as a feature cache holds them.
        before: Words before the soft tokens, the same in every sample.
        soft: Q.
        after: Words after them.
        learnt: How many of the last words are learnt.
        aligner: Options of the perceiver.
        tokens: Positions of a training step, the most telling first.
        rank: Of LoRA.
        batches: Sequences that are decoded together.
        prompts: Lengths of prompts.
        context: Most positions of a sequence that is decoded.
        new: Tokens of an answer.
        most_samples: Where the search for the largest micro-batch ends.
        product: Rows of the square matrices whose product is a ceiling.
        copied: Bytes whose copy is the other.
    """

    config: LlamaConfig
    features: tuple[int, int]
    before: int
    soft: int
    after: int
    learnt: int
    aligner: dict[str, int]
    tokens: tuple[int, ...]
    rank: int
    batches: tuple[int, ...]
    prompts: tuple[int, ...]
    context: int
    new: int
    most_samples: int
    product: int
    copied: int

    @property
    def sample(self) -> int:
        """Positions of one training sample."""
        return self.before + self.soft + self.after


def shape_of(name: str) -> Shape:
    """A shape by name: `70b` or `tiny`."""
    if name == "tiny":
        return Shape(
            config=LlamaConfig(**_ENDLESS, **_TINY),
            features=(40, 24),
            before=8,
            soft=32,
            after=24,
            learnt=16,
            aligner={"depth": 1, "num_heads": 2, "head_dim": 8},
            tokens=(128, 64),
            rank=4,
            batches=(1, 2),
            prompts=(16, 48),
            context=128,
            new=4,
            most_samples=4,
            product=64,
            copied=2**16,
        )
    config = config_of("meta-llama/Llama-2-70b-hf")
    config.update(_ENDLESS)
    return Shape(
        config=config,
        features=(576, 1024),  # CLIP ViT-L/14 at 336 pixels
        before=24,
        soft=256,
        after=40,
        learnt=32,
        aligner={"depth": 6, "num_heads": 16, "head_dim": 64},
        tokens=(8192, 1280, 4096, 16384),
        rank=64,
        batches=(1, 8, 32),
        prompts=(128, 512, 2048),
        context=2304,
        new=33,
        most_samples=128,
        product=8192,
        copied=2**32,
    )


_ENDLESS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}  # no answer ends
_TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


@torch.no_grad()
def random_nf4(config: LlamaConfig, device: torch.device) -> LlamaForCausalLM:
    """Make the model; output head and embeddings stay unquantised: see `anymal.llm.precision`.

    Args:
        config: Its sizes.
        device: Where it is made and stays.

    Returns:
        A frozen model; the same seed gives the same weights.
    """
    dtype = compute_dtype("nf4", device)
    generator = torch.Generator(device).manual_seed(0)

    def random(shape: torch.Size) -> Tensor:
        drawn = torch.randn(shape, generator=generator, device=device, dtype=dtype)
        return drawn.mul_(_STD)

    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    for name, linear in list(_linears(model, nn.Linear)):
        model.set_submodule(name, _quantised(random(linear.weight.shape), dtype))
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            is_norm = parameter.ndim == 1
            made = torch.ones(parameter.shape, device=device, dtype=dtype)
            _set(model, name, made if is_norm else random(parameter.shape))
    with device:  # what it holds is no parameter, and was made on meta
        model.model.rotary_emb = type(model.model.rotary_emb)(config)
    model.is_loaded_in_4bit = True  # peft looks here
    return model.eval().requires_grad_(False)


def twin(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Another module tree over the same tensors, to which adapters may be attached.

    Args:
        model: From `random_nf4`, nothing attached.

    Returns:
        The tree; what is cast in it is cast in it alone.
    """
    with torch.device("meta"):
        other = LlamaForCausalLM(model.config)
    for name, linear in _linears(model, import_bitsandbytes().nn.Linear4bit):
        other.set_submodule(name, linear)
    for name, parameter in model.named_parameters():
        if other.get_parameter(name).is_meta:
            _set(other, name, parameter.data)
    other.model.rotary_emb = model.model.rotary_emb
    other.is_loaded_in_4bit = True
    return other.eval().requires_grad_(False)


def num_weights(model: LlamaForCausalLM) -> int:
    """Entries of the matrices that each token is multiplied with, output head included."""
    linears = _linears(model, nn.Linear, head=True)
    return sum(linear.in_features * linear.out_features for _, linear in linears)


def _quantised(weight: Tensor, dtype: torch.dtype) -> nn.Module:
    """A layer of bitsandbytes around a matrix."""
    bitsandbytes = import_bitsandbytes()
    rows, columns = weight.shape
    linear = bitsandbytes.nn.Linear4bit(
        columns, rows, bias=False, compute_dtype=dtype, quant_type="nf4", device="meta"
    )
    linear.weight = bitsandbytes.nn.Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=True, module=linear
    ).to(weight.device)
    linear.support_avx512bf16_for_cpu = False  # see NOTE (b) in anymal.llm.precision
    return linear  # type: ignore[no-any-return]


def _linears(model: Any, kind: type, *, head: bool = False) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if isinstance(module, kind) and (head or name != "lm_head"):
            yield name, module


def _set(model: nn.Module, name: str, data: Tensor) -> None:
    """Put a tensor where a parameter is."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, nn.Parameter(data, requires_grad=False))
