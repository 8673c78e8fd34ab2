"""Bundled configurations: they build, and nothing is fetched."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from anymal.errors import RecipeError
from anymal.recipe.known_configs import config_of, known_ids

# Counted from the published checkpoints' tensors.
LLAMA_2 = {"7b": 6_738_415_616, "13b": 13_015_864_320, "70b": 68_976_648_192}


@pytest.mark.parametrize("size", LLAMA_2)
def test_llama_2_has_the_published_number_of_parameters(size: str) -> None:
    config = config_of(f"meta-llama/Llama-2-{size}-hf")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == LLAMA_2[size]
    assert config_of(f"meta-llama/Llama-2-{size}-chat-hf").to_dict() == config.to_dict()


def test_every_known_id_gives_a_configuration_of_its_type() -> None:
    for name in known_ids():
        config = config_of(name)
        assert config.model_type
        assert "/" in name


def test_a_folder_comes_before_a_known_id(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "meta-llama" / "Llama-2-7b-hf"
    LlamaConfig(hidden_size=48, num_attention_heads=2).save_pretrained(folder)
    monkeypatch.chdir(tmp_path)
    assert config_of("meta-llama/Llama-2-7b-hf").hidden_size == 48


def test_an_unknown_checkpoint_is_refused_with_what_is_known(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such"}))
    with pytest.raises(RecipeError, match="Llama-2-70b-chat-hf"):
        config_of(str(tmp_path))
    with pytest.raises(RecipeError, match=r"no folder '.*llm'; make it first"):
        config_of(str(tmp_path / "llm"))
    with pytest.raises(RecipeError, match="nobody/nothing"):
        config_of("nobody/nothing")
