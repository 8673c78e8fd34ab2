"""Words in, scores out, for language models of many kinds."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaForCausalLM,
)

from anymal.errors import RecipeError
from anymal.llm.load import load_llm, without_progress
from tests.tiny import save_tokenizer

SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 2,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gemma2", SIZES | {"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 16}),
        ("granite", SIZES | {"logits_scaling": 4.0, "embedding_multiplier": 3.0}),
        ("cohere", SIZES | {"logit_scale": 0.25}),
        ("hyperclovax", SIZES | {"logits_scaling": 4.0}),
        (
            "falcon_h1",
            {**SIZES, "lm_head_multiplier": 0.5}
            | {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16},
        ),
        (
            "gpt2",
            {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.5},
        ),
    ],
)
def test_any_causal_model_scores_as_its_own_forward_does(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    if kind not in CONFIG_MAPPING:
        pytest.skip(f"this transformers is older than {kind}")
    config = AutoConfig.for_model(kind, **options)
    save_tokenizer(tmp_path)
    with without_progress():
        own = AutoModelForCausalLM.from_config(config).eval()
        own.save_pretrained(tmp_path)
    llm = load_llm(str(tmp_path), precision="fp32")
    ids = torch.arange(6)[None] + 40
    llm.train()  # a frozen model has no dropout, whatever its configuration says
    with torch.no_grad():
        expected = own(input_ids=ids).logits[0].float()
        hidden = llm.decode(llm.embed(ids), positions=torch.arange(6)[None])
        torch.testing.assert_close(llm.head(hidden[0]), expected, atol=1e-5, rtol=1e-5)


def test_a_model_with_scores_of_its_own_kind_is_refused(
    checkpoints: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # of models that were checked before
    real = LlamaForCausalLM.forward

    def doubled(*args: Any, **kwargs: Any) -> Any:
        out = real(*args, **kwargs)
        return type(out)(logits=2 * out.logits)

    monkeypatch.setattr(LlamaForCausalLM, "forward", doubled)
    for precision in ("fp32", "nf4", "int8", "bf16"):
        with pytest.raises(RecipeError, match=r"\(LlamaForCausalLM\) scores words differently"):
            load_llm(str(checkpoints.llm), precision=precision)


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("mamba", {"state_size": 4}, "keeps what it has read in another form"),
        ("rwkv", {}, "keeps what it has read in another form"),
        ("bart", {"d_model": 32, "decoder_layers": 1}, "reads no embeddings"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, kind: str, options: dict[str, Any], why: str
) -> None:
    config = AutoConfig.for_model(
        kind,
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        **options,
    )
    save_tokenizer(tmp_path)
    with without_progress():
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match=rf"(?i)\({kind}ForCausalLM\) .*{why}") as caught:
        load_llm(str(tmp_path), precision="fp32")
    assert "\n" not in str(caught.value)


def test_words_are_as_large_as_they_are_read(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    with without_progress():
        AutoModelForCausalLM.from_config(Gemma2Config(**SIZES)).save_pretrained(tmp_path)
    llm = load_llm(str(tmp_path), precision="fp32")
    words = llm.embed(torch.arange(llm.vocab_size))
    assert llm.embedding_rms == pytest.approx(float(words.square().mean().sqrt()))
