"""Precisions, quantised gradients on a CPU, LoRA and the parts of a causal model."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, T5Config

from anymal.errors import RecipeError
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.lora import LoraOptions
from tests.tiny import save_llm, save_tokenizer


def run(llm: LLM, embeddings: Tensor) -> Tensor:
    """Logits of every position, flat."""
    positions = torch.arange(embeddings.shape[1]).expand(embeddings.shape[0], -1)
    hidden = llm.decode(embeddings, positions=positions)
    return llm.head(hidden.flatten(0, 1))


def gradient(llm: LLM, embeddings: Tensor) -> Tensor:
    """The gradient of a loss with respect to the embeddings."""
    leaf = embeddings.detach().clone().to(llm.dtype).requires_grad_()
    logits = run(llm, leaf)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 7 + 10).backward()
    assert leaf.grad is not None
    return leaf.grad.float()


def frozen_bytes(llm: LLM) -> dict[str, bytes]:
    """Every frozen weight as it lies in memory."""
    lora = llm.lora_parameters()
    return {
        name: parameter.detach().contiguous().view(torch.uint8).numpy().tobytes()
        for name, parameter in llm.named_parameters()
        if name not in lora
    }


@pytest.fixture(scope="module", name="llms")
def _llms(checkpoints: SimpleNamespace) -> dict[str, LLM]:
    return {
        precision: load_llm(str(checkpoints.llm), precision=precision)  # type: ignore[arg-type]
        for precision in ("fp32", "nf4", "int8", "bf16")
    }


@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8", "bf16"])
def test_gradient_agrees_with_float_within_the_precision(
    llms: dict[str, LLM], precision: str
) -> None:
    embeddings = 0.1 * torch.randn(2, 9, 64)
    exact, held = gradient(llms["fp32"], embeddings), gradient(llms[precision], embeddings)
    assert held.any(dim=-1).all()
    cosine = float(torch.cosine_similarity(exact.flatten(), held.flatten(), dim=0))
    assert cosine > {"fp32": 0.999999, "nf4": 0.9, "int8": 0.99, "bf16": 0.999}[precision]


def test_nf4_gradient_is_exactly_that_of_the_rounded_weights(
    llms: dict[str, LLM], checkpoints: SimpleNamespace
) -> None:
    from bitsandbytes.functional import dequantize_4bit

    rounded = load_llm(str(checkpoints.llm), precision="fp32")
    held = dict(llms["nf4"].named_modules())
    for name, module in rounded.named_modules():
        if name.endswith("_proj"):
            weight = held[name].weight
            module.weight.data = dequantize_4bit(weight.data, weight.quant_state)
    embeddings = 0.1 * torch.randn(2, 9, 64)
    torch.testing.assert_close(
        gradient(rounded, embeddings), gradient(llms["nf4"], embeddings), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8", "bf16"])
def test_training_and_answering_compute_the_same(llms: dict[str, LLM], precision: str) -> None:
    llm = llms[precision]
    embeddings = 0.1 * torch.randn(2, 9, 64, dtype=llm.dtype)
    before = frozen_bytes(llm)
    llm.train()
    trained = run(llm, embeddings.clone().requires_grad_()).detach()
    llm.eval()
    with torch.no_grad():
        answered = run(llm, embeddings)
    assert torch.equal(trained, answered)
    gradient(llm, embeddings.float())  # after an answer, gradients still pass
    assert frozen_bytes(llm) == before


def test_only_linear_layers_are_quantised(llms: dict[str, LLM]) -> None:
    kinds = {
        precision: {
            f"{type(module).__module__}.{type(module).__name__}"
            for name, module in llms[precision].named_modules()
            if name.endswith(("_proj", "lm_head", "embed_tokens"))
        }
        for precision in ("nf4", "int8")
    }
    plain = {"torch.nn.modules.linear.Linear", "torch.nn.modules.sparse.Embedding"}
    assert kinds["nf4"] == {"bitsandbytes.nn.modules.Linear4bit", *plain}
    assert kinds["int8"] == {"bitsandbytes.nn.modules.Linear8bitLt", *plain}


def test_nf4_has_double_quantisation(llms: dict[str, LLM]) -> None:
    weight: Any = llms["nf4"].model.model.layers[0].mlp.up_proj.weight
    assert weight.quant_state.quant_type == "nf4"
    assert weight.quant_state.nested
    assert weight.dtype == torch.uint8


@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8", "bf16"])
def test_nothing_is_said_and_nothing_trains(
    checkpoints: SimpleNamespace,
    precision: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.WARNING):
        llm = load_llm(str(checkpoints.llm), precision=precision, lora=LoraOptions(r=2))
        gradient(llm, torch.randn(1, 3, 64))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert not any(p.requires_grad for n, p in llm.named_parameters() if "lora" not in n)


@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8", "bf16"])
def test_lora_takes_part_only_when_asked(checkpoints: SimpleNamespace, precision: Any) -> None:
    llm = load_llm(str(checkpoints.llm), precision=precision, lora=LoraOptions(r=4))
    assert {p.dtype for p in llm.lora_parameters().values()} == {torch.float32}
    assert len(llm.lora_parameters()) == 2 * 2 * 7  # A and B, two layers, seven linears each
    embeddings = torch.randn(1, 5, 64, dtype=llm.dtype)
    with torch.no_grad():
        off = run(llm, embeddings)
        llm.use_lora(True)
        fresh = run(llm, embeddings)
        for name, parameter in llm.lora_parameters().items():
            if ".lora_B." in name:
                parameter.fill_(0.1)
        on = run(llm, embeddings)
        llm.use_lora(False)
        again = run(llm, embeddings)
    torch.testing.assert_close(fresh, off)
    assert not torch.allclose(on, off, atol=1e-2)
    assert torch.equal(again, off)


def test_lora_waits_on_the_cpu_until_it_takes_part(
    checkpoints: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = load_llm(str(checkpoints.llm), precision="fp32", lora=LoraOptions(r=2))
    asked: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(LLM, "device", "a GPU")
        patched.setattr(Tensor, "to", lambda self, device: asked.append(device) or self)
        for on in (True, False):
            llm.use_lora(on)
            assert not any(p.requires_grad for p in llm.lora_parameters().values())
    number = len(llm.lora_parameters())
    assert asked == ["a GPU"] * number + ["cpu"] * number


@pytest.mark.parametrize("precision", ["nf4", "bf16"])
def test_lora_leaves_embeddings_and_head_at_the_compute_dtype(
    checkpoints: SimpleNamespace, precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anymal.llm.load.compute_dtype", lambda precision, device: torch.bfloat16)
    llm = load_llm(str(checkpoints.llm), precision=precision, lora=LoraOptions(r=2))
    kept = [n for n, p in llm.named_parameters() if p.dtype == torch.float32]
    assert kept == list(llm.lora_parameters())
    assert llm.model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert llm.model.get_output_embeddings().weight.dtype == torch.bfloat16


def test_every_lora_weight_gets_a_gradient(checkpoints: SimpleNamespace) -> None:
    llm = load_llm(str(checkpoints.llm), precision="nf4", lora=LoraOptions(r=2))
    llm.use_lora(True)
    for name, parameter in llm.lora_parameters().items():
        parameter.requires_grad_()
        if ".lora_B." in name:  # they start at zero, and then nothing reaches A
            torch.nn.init.normal_(parameter, std=0.1)
    gradient(llm, torch.randn(1, 5, 64))
    without = [n for n, p in llm.lora_parameters().items() if p.grad is None or not p.grad.any()]
    assert without == []


def test_lora_is_written_as_peft_reads_it(checkpoints: SimpleNamespace, tmp_path: Path) -> None:
    from peft import LoraConfig
    from safetensors.torch import load_file

    llm = load_llm(str(checkpoints.llm), precision="fp32", lora=LoraOptions(r=2))
    for parameter in llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.2)
    llm.use_lora(True)
    llm.save_lora(tmp_path)
    with without_progress():
        plain: Any = AutoModelForCausalLM.from_pretrained(checkpoints.llm)
    config = LoraConfig.from_pretrained(str(tmp_path))
    assert (config.r, config.lora_alpha) == (2, 16)
    # What PEFT computes, written out: W + alpha / r * B A.
    weights = load_file(tmp_path / "adapter_model.safetensors")
    for name in {key.rsplit(".lora_", 1)[0] for key in weights}:
        a, b = (weights[f"{name}.lora_{x}.weight"] for x in "AB")
        linear = plain.get_submodule(name.removeprefix("base_model.model."))
        linear.weight.data += 8 * b @ a
    ids = torch.arange(10)[None] + 20
    with torch.no_grad():
        expected = plain(input_ids=ids).logits[0]
        torch.testing.assert_close(run(llm, llm.embed(ids)), expected, atol=1e-4, rtol=1e-4)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    weights = save_llm(tmp_path / "llm") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(RecipeError, match="cannot load the language model"):
        load_llm(str(tmp_path / "llm"), precision="fp32")


def test_a_model_that_is_not_causal_is_refused_in_one_line(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    T5Config(num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match=r"T5Config.*; give the Hub id or folder") as caught:
        load_llm(str(tmp_path), precision="fp32")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_checkpointing_changes_memory_not_gradients(checkpoints: SimpleNamespace) -> None:
    llm = load_llm(str(checkpoints.llm), precision="fp32").train()
    embeddings = torch.randn(1, 5, 64)
    kept = gradient(llm, embeddings)
    llm.use_checkpointing(True)
    layers = llm.model.model.layers
    assert all(layer.training and layer.gradient_checkpointing for layer in layers)
    assert torch.equal(gradient(llm, embeddings), kept)
    llm.use_checkpointing(False)
    assert not any(layer.gradient_checkpointing for layer in layers)


def test_embedding_facts(llms: dict[str, LLM]) -> None:
    assert {llm.embeddings_digest for llm in llms.values()} == {llms["fp32"].embeddings_digest}
    assert 0.09 < llms["fp32"].embedding_rms < 0.11
    assert llms["fp32"].hidden_size == 64
    assert llms["fp32"].eos_ids == (1,)


@pytest.mark.parametrize("path", ["no/such-model", "/no/such/folder"])
def test_missing_model_is_a_recipe_error(path: str) -> None:
    with pytest.raises(RecipeError, match="cannot load the language model"):
        load_llm(path, precision="fp32")


def test_wrong_lora_target_is_a_recipe_error(checkpoints: SimpleNamespace) -> None:
    with pytest.raises(RecipeError, match="cannot attach LoRA"):
        load_llm(
            str(checkpoints.llm), precision="fp32", lora=LoraOptions(targets=["no_such_layer"])
        )
