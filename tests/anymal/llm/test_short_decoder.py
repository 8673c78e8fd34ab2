"""Layers run without transformers around them compute the same, or are left to transformers."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig, AutoModelForCausalLM

from anymal.llm.attention import AttentionCall, install
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm
from anymal.llm.lora import LoraOptions
from anymal.llm.merge_lora import merge
from anymal.llm.packable import configs_of
from anymal.llm.short_decoder import short_decoder

V, D = 61, 32
SIZES = {
    "vocab_size": V,
    "hidden_size": D,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "attn_implementation": "sdpa",
}

LATE = {
    "rope_type": "default",
    "rope_theta": 10000.0,
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 1024,
}


class NoTokenizer:
    eos_token_id = None


class Causal:
    """Plain attention within one row; notes what each layer asks for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, float | None, int | None]] = []

    def __call__(self, call: AttentionCall) -> Tensor:
        self.asked.append((call.layer, call.scaling, call.window))
        groups = call.query.shape[1] // call.key.shape[1]
        keys, values = (each.repeat_interleave(groups, dim=1) for each in (call.key, call.value))
        out = scaled_dot_product_attention(
            call.query, keys, values, is_causal=True, scale=call.scaling
        )
        return out.transpose(1, 2)


def make_llm(kind: str, dtype: torch.dtype = torch.float32, **changes: Any) -> LLM:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(SIZES | changes))
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    for name, parameter in model.named_parameters():  # so that a bias or norm left out would show
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    precision = "bf16" if dtype == torch.bfloat16 else "fp32"
    llm = LLM(model, NoTokenizer(), precision=precision, tuner=None)
    install(configs_of(llm))
    return llm


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("llama", {"head_dim": 16, "rms_norm_eps": 1e-2, "attention_bias": True}),
        ("llama", {"dtype": torch.float64}),
        ("llama", {"dtype": torch.bfloat16, "initializer_range": 0.1}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 64,
                    "rope_theta": 10000.0,
                }
            },
        ),
        ("qwen2", {"use_sliding_window": False}),
        ("qwen3", {"head_dim": 16}),
        ("mistral", {"sliding_window": 11}),
        ("gemma", {"head_dim": 8}),
    ],
)
@torch.no_grad()
def test_layers_compute_what_transformers_computes(kind: str, changes: dict[str, Any]) -> None:
    llm = make_llm(kind, **changes)
    own, attention = short_decoder(llm), Causal()
    assert own is not None
    rows = torch.randn(9, D).to(llm.dtype)
    positions = torch.arange(100, 109)
    found = own.decode(rows, positions, attention)
    wanted = llm.decode(rows[None], positions=positions[None], cache=None)[0]
    allowed = 0.05 if llm.dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, wanted, rtol=allowed, atol=allowed)
    heads = llm.model.base_model.layers[0].self_attn
    window = changes.get("sliding_window")
    assert attention.asked == [(layer, heads.scaling, window) for layer in range(3)]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("granite", {"residual_multiplier": 0.5}),  # the parts are a Llama's, the sum is not
        ("stablelm", {"partial_rotary_factor": 0.25}),
        ("smollm3", {"no_rope_layers": [1, 0, 1]}),
        ("cohere", {}),
        ("gpt_neox", {"num_key_value_heads": None}),
        # What they do besides shows only with larger numbers, or at later positions.
        ("olmo", {"clip_qkv": 1e3, "eos_token_id": None}),
        ("ministral3", {"rope_parameters": LATE, "max_position_embeddings": 4096}),
    ],
)
def test_model_that_computes_something_else_is_left_to_transformers(
    kind: str, changes: dict[str, Any]
) -> None:
    assert short_decoder(make_llm(kind, **changes)) is None


@pytest.mark.parametrize(("precision", "allowed"), [("nf4", 1e-5), ("int8", 0.02), ("int4", 0.02)])
@torch.no_grad()
def test_adapters_and_layers_of_few_bits_take_part(
    checkpoints: SimpleNamespace, precision: str, allowed: float
) -> None:
    llm = load_llm(str(checkpoints.llm), precision="nf4", lora=LoraOptions(r=2))
    torch.manual_seed(5)
    for parameter in llm.lora_parameters().values():
        nn.init.normal_(parameter, std=0.1)
    llm.use_lora(True)
    if precision != "nf4":
        llm = merge(llm, precision=precision)
    install(configs_of(llm))
    own = short_decoder(llm)
    assert own is not None
    rows, positions, found = torch.randn(9, llm.hidden_size), torch.arange(9), []
    for uses_lora in (True, False):  # which is in the weights where they are merged
        llm.use_lora(uses_lora)
        found.append(own.decode(rows, positions, Causal()))
        wanted = llm.decode(rows[None], positions=positions[None], cache=None)[0]
        assert (found[-1] - wanted).norm() < allowed * wanted.norm()
    assert torch.allclose(*found) is (precision != "nf4")


def test_norm_of_another_formula_is_called_and_not_copied() -> None:
    class Unlike(nn.Module):
        """Has the attributes of an RMSNorm, and takes the mean away first."""

        def __init__(self, norm: Any) -> None:
            super().__init__()
            self.weight, self.variance_epsilon = norm.weight, norm.variance_epsilon

        def forward(self, rows: Tensor) -> Tensor:
            return self.weight * nn.functional.layer_norm(rows, rows.shape[-1:])

    llm = make_llm("llama")
    for layer in llm.model.base_model.layers:
        layer.input_layernorm = Unlike(layer.input_layernorm)
    own = short_decoder(llm)
    assert own is not None
    with torch.no_grad():
        rows, positions = torch.randn(5, D), torch.arange(5)
        wanted = llm.decode(rows[None], positions=positions[None], cache=None)[0]
        torch.testing.assert_close(own.decode(rows, positions, Causal()), wanted)
