"""LoRA merged into dequantised weights: the trained function, without adapters in its path."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from anymal.errors import RecipeError
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.lora import LoraOptions
from anymal.llm.merge_lora import merge
from anymal.llm.weight_only import WeightOnlyLinear
from anymal.llm.weight_only_words import WeightOnlyEmbedding
from tests.tiny import save_llm, save_tokenizer

FAMILIES = {
    "nf4": (1e-4, 0.0),
    "int8": (0.05, 1e-6),  # LLM.int8 rounds inputs too, which dequantised weights do not
    "bf16": (0.05, 1e-6),
    "fp32": (1e-4, 0.0),
}


def logits(llm: LLM) -> Tensor:
    """Logits of fixed embeddings."""
    embeddings = torch.randn(2, 9, llm.hidden_size, generator=torch.Generator().manual_seed(1))
    positions = torch.arange(9).expand(2, -1)
    with torch.no_grad():
        hidden = llm.decode(embeddings.to(llm.dtype), positions=positions)
        return llm.head(hidden.flatten(0, 1))


def error(found: Tensor, expected: Tensor) -> float:
    """Relative error."""
    return float((found - expected).norm() / expected.norm())


def with_lora(path: str, precision: Any, **options: Any) -> LLM:
    """A model whose LoRA does something."""
    llm = load_llm(path, precision=precision, lora=LoraOptions(r=4, **options))
    torch.manual_seed(7)
    for parameter in llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    llm.use_lora(True)
    return llm


def test_weights_that_nothing_quantised_take_no_bitsandbytes(
    checkpoints: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = with_lora(str(checkpoints.llm), "fp32")
    expected = logits(llm)
    monkeypatch.delattr("anymal.llm.lora.import_bitsandbytes")
    assert error(logits(merge(llm, precision="fp32")), expected) < 1e-4


@pytest.mark.parametrize("trained", FAMILIES)
def test_merged_in_float_is_the_trained_function(
    checkpoints: SimpleNamespace, trained: str
) -> None:
    llm = with_lora(str(checkpoints.llm), trained)
    expected = logits(llm)
    llm.use_lora(False)
    without = logits(llm)
    merged = merge(llm, precision="fp32")
    found = logits(merged)
    largest, smallest = FAMILIES[trained]
    assert smallest <= error(found, expected) < largest
    assert error(without, expected) > 0.2
    assert merged.precision == "fp32"
    assert {p.dtype for p in merged.parameters()} == {torch.float32}


def test_nothing_of_lora_or_quantisation_is_left(checkpoints: SimpleNamespace) -> None:
    merged = merge(with_lora(str(checkpoints.llm), "nf4"), precision="fp32")
    kinds = {type(module) for name, module in merged.named_modules() if name.endswith("_proj")}
    assert kinds == {torch.nn.Linear}
    assert merged.lora_parameters() == {}
    assert not any("lora" in name for name, _ in merged.named_modules())
    assert not any(parameter.requires_grad for parameter in merged.parameters())


@pytest.mark.parametrize("trained", ["nf4", "fp32"])
@pytest.mark.parametrize(("precision", "largest"), [("int8", 0.03), ("int4", 0.25)])
def test_merged_in_few_bits_is_near_and_leaves_no_layer_out(
    checkpoints: SimpleNamespace,
    trained: str,
    precision: str,
    largest: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llm = with_lora(str(checkpoints.llm), trained)
    expected, words = logits(llm), llm.embed(torch.arange(320))
    sizes = llm.hidden_size, llm.vocab_size, llm.device
    merged = merge(llm, precision=precision)
    assert 1e-4 < error(logits(merged), expected) < largest
    assert error(merged.embed(torch.arange(320)), words) < 0.01
    monkeypatch.setattr("anymal.llm.digests._ROWS_AT_ONCE", 100)  # not a share of 320
    rms = merged.embed(torch.arange(320)).square().mean().sqrt()
    assert merged.embedding_rms == pytest.approx(float(rms), rel=1e-6)
    layers = [m for m in merged.modules() if isinstance(m, WeightOnlyLinear)]
    assert [layer.precision for layer in layers] == [precision] * 2 * 7 + ["int8"]
    assert not any(isinstance(m, torch.nn.Linear) for m in merged.modules())
    assert {p.ndim for p in merged.parameters()} == {1}  # norms
    assert (merged.hidden_size, merged.vocab_size, merged.device) == sizes
    assert (merged.dtype, merged.precision) == (torch.float32, precision)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("targets", ["all-linear", ["embed_tokens"]])
def test_a_tied_head_is_held_once_unless_lora_moves_the_table(
    tmp_path: Path, precision: str, targets: Any
) -> None:
    with without_progress():
        save_llm(tmp_path, tie_word_embeddings=True)
    llm = with_lora(str(tmp_path), "fp32", targets=targets)
    expected, words = logits(llm), llm.embed(torch.arange(20))
    merged = merge(llm, precision=precision)
    head, table = merged.model.get_output_embeddings(), merged.model.get_input_embeddings()
    assert (head.codes is table.codes) is (targets == "all-linear")
    assert error(merged.embed(torch.arange(20)), words) < 0.01
    assert error(logits(merged), expected) < 0.25


def test_a_merged_state_fits_a_model_without_tensors(checkpoints: SimpleNamespace) -> None:
    """As kept weights are loaded: merge on the meta device, then assign."""
    merged = merge(with_lora(str(checkpoints.llm), "nf4"), precision="int4")
    with torch.device("meta"):
        plain = type(merged.model)(merged.model.config)
    empty = merge(LLM(plain, merged.tokenizer, precision="fp32", tuner=None), precision="int4")
    before = {name: tensor.shape for name, tensor in empty.model.state_dict().items()}
    state = merged.model.state_dict()
    assert before == {name: tensor.shape for name, tensor in state.items()}
    empty.model.load_state_dict(state, assign=True)
    assert all(torch.equal(t, state[n]) for n, t in empty.model.state_dict().items())


def test_a_scaled_table_stays_scaled_and_a_strange_one_stays_whole(
    checkpoints: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    class Scaled(torch.nn.Embedding):
        embed_scale = torch.tensor(3.0)

        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) * self.embed_scale

    class Strange(torch.nn.Embedding):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids).tanh()

    for kind in (Scaled, Strange):
        llm = load_llm(str(checkpoints.llm), precision="fp32")
        llm.model.set_input_embeddings(kind(320, llm.hidden_size).requires_grad_(False))
        expected = llm.embed(torch.arange(20))
        merged = merge(llm, precision="int8")
        table = merged.model.get_input_embeddings()
        assert type(table) is (WeightOnlyEmbedding if kind is Scaled else Strange)
        assert error(merged.embed(torch.arange(20)), expected) < 0.01
    assert "the embedding table stays as it is: Strange" in caplog.text


def test_merged_in_bf16_computes_in_bf16(checkpoints: SimpleNamespace) -> None:
    llm = with_lora(str(checkpoints.llm), "nf4")
    expected = logits(llm)
    merged = merge(llm, precision="bf16")
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}
    assert error(logits(merged), expected) < 0.05


def test_a_model_without_lora_is_dequantised(checkpoints: SimpleNamespace) -> None:
    llm = load_llm(str(checkpoints.llm), precision="nf4")
    expected = logits(llm)
    assert error(logits(merge(llm, precision="fp32")), expected) < 1e-4


@pytest.mark.parametrize("precision", ["nf4", "fp8"])
def test_rounding_twice_is_refused(checkpoints: SimpleNamespace, precision: str) -> None:
    llm = load_llm(str(checkpoints.llm), precision="nf4")
    with pytest.raises(RecipeError, match=r"rounded again; merge into fp32, bf16, int8, int4"):
        merge(llm, precision=precision)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_tied_head_stays_when_lora_is_on_the_embeddings(tmp_path: Path) -> None:
    with without_progress():
        save_llm(tmp_path, tie_word_embeddings=True)
    llm = with_lora(str(tmp_path), "fp32", targets=["embed_tokens", "q_proj"])
    ids, head = torch.arange(20), llm.model.get_output_embeddings().weight.clone()
    with torch.no_grad():
        expected = llm.embed(ids)
        before = copy.deepcopy(llm.model.get_input_embeddings().base_layer.weight)
        merged = merge(llm, precision="fp32")
        torch.testing.assert_close(merged.embed(ids), expected)
    assert not torch.allclose(merged.embed(ids), before[ids])
    assert torch.equal(merged.model.get_output_embeddings().weight, head)


def make_gpt2(folder: Path) -> str:
    """GPT-2, whose linear layers hold their weights transposed."""
    from transformers import AutoModelForCausalLM, GPT2Config

    ids = {"bos_token_id": 0, "eos_token_id": 1}
    config = GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, **ids)
    with without_progress():
        save_tokenizer(folder)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
@pytest.mark.parametrize(("precision", "largest"), [("fp32", 1e-5), ("int8", 0.05), ("int4", 0.3)])
def test_transposed_layers_are_merged_the_right_way(
    tmp_path: Path, precision: str, largest: float
) -> None:
    llm = with_lora(make_gpt2(tmp_path), "fp32", targets=["c_attn", "c_fc"])
    expected = logits(llm)
    merged = merge(llm, precision=precision)
    assert merged.lora_parameters() == {}
    assert error(logits(merged), expected) < largest
    kinds = {type(module) for name, module in merged.named_modules() if ".c_" in name}
    assert kinds == {torch.nn.Linear if precision == "fp32" else WeightOnlyLinear}
