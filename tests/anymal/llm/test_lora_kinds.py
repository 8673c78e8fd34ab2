"""Rank-stabilised LoRA and DoRA: what they compute, merged and unmerged, saved and read by peft."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from anymal.errors import RecipeError
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.lora import LoraOptions
from anymal.llm.merge_lora import merge
from tests.tiny import save_tokenizer

KINDS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "both": {"use_rslora": True, "use_dora": True},
}
LAYER = "model.layers.0.self_attn.q_proj"


def with_lora(path: Path | str, precision: Any = "fp32", **options: Any) -> LLM:
    """A model whose LoRA does something; what DoRA starts from stays about as large as it was."""
    llm = load_llm(str(path), precision=precision, lora=LoraOptions(r=4, alpha=8, **options))
    torch.manual_seed(7)
    for name, parameter in llm.lora_parameters().items():
        if "magnitude" in name:
            parameter.data *= 1 + torch.rand_like(parameter)
        else:
            torch.nn.init.normal_(parameter, std=0.2)
    llm.use_lora(True)
    return llm


def logits(llm: LLM) -> Tensor:
    embeddings = torch.randn(2, 9, llm.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = llm.decode(embeddings, positions=torch.arange(9).expand(2, -1))
        return llm.head(hidden.flatten(0, 1))


@pytest.mark.parametrize(
    ("kind", "precision"), [("rslora", "fp32"), ("dora", "fp32"), ("both", "nf4")]
)
def test_merged_computes_what_was_trained(
    checkpoints: SimpleNamespace, kind: str, precision: str
) -> None:
    llm = with_lora(checkpoints.llm, precision, **KINDS[kind])
    expected = logits(llm)
    llm.use_lora(False)
    assert float((logits(llm) - expected).norm() / expected.norm()) > 0.1
    torch.testing.assert_close(logits(merge(llm, precision="fp32")), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_computes_what_the_papers_say(checkpoints: SimpleNamespace, kind: str) -> None:
    options = KINDS[kind]
    llm = with_lora(checkpoints.llm, targets=["q_proj"], **options)
    layer: Any = llm.model.get_submodule(LAYER)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    scale = 8 / math.sqrt(4) if options.get("use_rslora") else 8 / 4
    weight = layer.base_layer.weight + scale * up @ down
    if options.get("use_dora"):  # m (W + BA) / |W + BA|, the norm of each output's weights
        sizes = layer.lora_magnitude_vector["default"].weight
        weight = sizes[:, None] * weight / weight.square().sum(1, keepdim=True).sqrt()
    inputs = torch.randn(3, weight.shape[1])
    torch.testing.assert_close(layer(inputs), inputs @ weight.T, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # peft asks it
@pytest.mark.parametrize("kind", ["dora", "both"])
def test_peft_reads_what_was_saved(checkpoints: SimpleNamespace, tmp_path: Path, kind: str) -> None:
    llm = with_lora(checkpoints.llm, **KINDS[kind])
    llm.save_lora(tmp_path)
    with without_progress():
        base = AutoModelForCausalLM.from_pretrained(checkpoints.llm, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path)).eval()
    ids = torch.arange(12)[None]
    with torch.no_grad():
        expected = theirs(input_ids=ids).logits[0]
        found = llm.head(llm.decode(llm.embed(ids[0])[None], positions=ids)[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
def test_dora_of_turned_weights_and_of_words_merges(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    with without_progress():
        config = GPT2Config(**sizes, vocab_size=320, initializer_range=0.3, eos_token_id=1)
        GPT2LMHeadModel(config).save_pretrained(tmp_path)
    llm = with_lora(tmp_path, targets=["c_attn", "c_proj", "wte"], use_dora=True)
    expected, words = logits(llm), llm.embed(torch.arange(20))
    merged = merge(llm, precision="fp32")
    torch.testing.assert_close(logits(merged), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(merged.embed(torch.arange(20)), words, rtol=0, atol=1e-5)


def test_dropout_reaches_dora_while_it_trains_and_only_then(checkpoints: SimpleNamespace) -> None:
    llm = with_lora(checkpoints.llm, dropout=0.5, use_dora=True)
    still = logits(llm)
    llm.model.get_parameter(f"{LAYER}.lora_A.default.weight").requires_grad_(True)
    llm.train()
    assert not torch.allclose(logits(llm), still)
    llm.eval()
    assert torch.equal(logits(llm), still)


def test_dora_beside_int8_is_refused(checkpoints: SimpleNamespace) -> None:
    with pytest.raises(RecipeError, match=r"use_dora .* int8 .*take nf4, bf16 or fp32"):
        load_llm(str(checkpoints.llm), precision="int8", lora=LoraOptions(use_dora=True))
