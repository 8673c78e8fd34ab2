"""A language model that would be trained or answer wrongly is refused as it is loaded."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    LlamaForCausalLM,
)

from anymal.errors import RecipeError
from anymal.llm import decode_check
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.lora import LoraOptions
from anymal.llm.merge_lora import merge
from tests.tiny import save_llm, save_tokenizer

SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
}


@pytest.fixture(autouse=True)
def _nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(name="llama")
def _llama(tmp_path: Path) -> str:
    with without_progress():
        return str(save_llm(tmp_path / "llm"))


def save_kind(folder: Path, kind: str, **changes: Any) -> str:
    """Save a tiny random model of a type that transformers knows."""
    if kind not in CONFIG_MAPPING:
        pytest.skip(f"this transformers is older than {kind}")
    save_tokenizer(folder)
    known = AutoConfig.for_model(kind).to_dict()
    sizes = {name: size for name, size in SIZES.items() if name in known} | changes
    with without_progress():
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
        model.save_pretrained(folder)
    return str(folder)


def logits(llm: LLM) -> Tensor:
    """Logits of fixed words, LoRA on."""
    llm.use_lora(True)
    with torch.no_grad():
        rows = llm.embed(torch.arange(9) + 40)[None]
        return llm.head(llm.decode(rows, positions=torch.arange(9)[None])[0])


def refusal(path: str, precision: Any = "fp32", **lora: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        load_llm(path, precision=precision, lora=LoraOptions(r=2, **lora))
    return str(caught.value)


# --- what is found ------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8", "bf16"])
def test_a_model_that_forgets_between_words_is_refused(
    llama: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        DynamicCache, "update", lambda self, keys, values, *rest, **more: (keys, values)
    )
    found = refusal(llama, precision)
    assert "(LlamaForCausalLM) forgets what it has read" in found
    assert "use another model" in found


def test_a_layer_that_lora_cannot_be_merged_into_is_refused(
    llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora.layer import Linear

    real = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: 2 * real(self, name))
    assert "(LlamaForCausalLM) computes otherwise once LoRA is merged into Linear" in refusal(llama)
    load_llm(llama, precision="fp32")  # without LoRA there is nothing to merge


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("bert", {}, "scores words differently"),
        ("openai-gpt", {"n_embd": 32, "n_layer": 2, "n_head": 2}, "another form than keys"),
        ("mamba2", {"num_heads": 4, "head_dim": 16, "n_groups": 1}, "another form than keys"),
    ],
)
def test_other_kinds_of_model_are_refused_by_the_name_of_their_class(
    tmp_path: Path, kind: str, changes: dict[str, Any], why: str
) -> None:
    found = refusal(save_kind(tmp_path / "llm", kind, **changes))
    assert why in found
    assert "ForCausalLM)" in found or "LMHeadModel)" in found
    assert found.endswith("such as Llama")


def test_an_error_of_the_model_itself_is_one_line(
    llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise TypeError("no\nmask")

    monkeypatch.setattr(LlamaForCausalLM, "forward", fails)
    assert "(LlamaForCausalLM) cannot score words (TypeError: no mask); use" in refusal(llama)


# --- what the check leaves ----------------------------------------------------------------------


def test_the_check_changes_nothing(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for check in (decode_check.check_decoding, lambda llm, path: None):
        monkeypatch.setattr("anymal.llm.load.check_decoding", check)
        torch.manual_seed(3)
        llm = load_llm(llama, precision="fp32", lora=LoraOptions(r=2))
        weights = {name: each.clone() for name, each in llm.state_dict().items()}
        states.append((weights, torch.rand(1)))
        assert not any(p.requires_grad for p in llm.parameters())
        assert not any(module._forward_hooks for module in llm.modules())
    (checked, drawn), (plain, expected) = states
    assert torch.equal(drawn, expected)
    torch.testing.assert_close(checked, plain, atol=0, rtol=0)


def test_a_model_is_checked_once(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    real = decode_check._check_merging

    def noted(llm: LLM, words: Tensor, name: str) -> None:
        names.append(name)
        real(llm, words, name)

    monkeypatch.setattr(decode_check, "_check_merging", noted)
    few = LoraOptions(r=2, targets=["q_proj"])
    for lora, checks in ((LoraOptions(r=2), 1), (LoraOptions(r=2), 1), (few, 2), (None, 3)):
        load_llm(llama, precision="fp32", lora=lora)
        assert len(names) == checks
    load_llm(llama, precision="nf4")
    save_llm(Path(llama), seed=1)
    load_llm(llama, precision="fp32")
    assert len(names) == 5


def test_a_cache_that_cannot_be_written_is_told(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    load_llm(llama, precision="fp32")
    assert "will be checked at each load" in caplog.text


def test_a_slow_check_is_told(
    llama: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load_llm(llama, precision="fp32")
    assert caplog.text == ""
    monkeypatch.setattr(decode_check, "_SLOW_SECONDS", 0.0)
    load_llm(llama, precision="nf4")
    assert "checking, once for this language model" in caplog.text


# --- experts ------------------------------------------------------------------------------------

DEEPSEEK = {
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "n_shared_experts": 1,
}


@pytest.mark.parametrize(
    ("kind", "changes", "leaves"),
    [
        ("mixtral", {"sliding_window": None}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("deepseek_v3", DEEPSEEK, {"kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_experts_are_left_out_and_the_rest_merges(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    changes: dict[str, Any],
    leaves: set[str],
) -> None:
    path = save_kind(tmp_path / "llm", kind, **changes)
    with caplog.at_level(logging.WARNING):
        llm = load_llm(path, precision="fp32", lora=LoraOptions(r=2, dropout=0.1))
    assert "LoRA leaves out the experts" in caplog.text
    assert len(caplog.records) == 1
    names = [name.split(".lora_")[0] for name in llm.lora_parameters()]
    assert leaves <= {name.rpartition(".")[2] for name in names}
    assert not any(name.endswith("experts") for name in names)
    for parameter in llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.2)
    expected = logits(llm)
    torch.testing.assert_close(logits(merge(llm, precision="fp32")), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "targets",
    [["q_proj", "w1"], ["w1", "w2", "w3"], ["experts"], ["q_proj", "gate"], r".*\.mlp\..*"],
)
def test_targets_that_are_experts_are_refused(tmp_path: Path, targets: Any) -> None:
    path = save_kind(tmp_path / "llm", "mixtral", sliding_window=None)
    found = refusal(path, targets=targets)
    assert "cannot attach LoRA" in found
    assert "name linear layers" in found
    assert "\n" not in found
