"""Stand-ins keep the class and what decides positions, and are small."""

from pathlib import Path
from typing import Any

import pytest
import transformers as t

from anymal.errors import RecipeError
from anymal.recipe.schema import EncoderRecipe, LlmRecipe
from encoders.registry import ENCODERS, build_encoder
from train.dry_run.checkpoints import write_encoder, write_llm
from train.dry_run.sizes import shrunk

# As published: the numbers decide how many features an encoder gives.
CONFIGS: dict[str, Any] = {
    "llama": t.LlamaConfig(num_attention_heads=64, num_key_value_heads=8, num_hidden_layers=80),
    "mistral": t.MistralConfig(),
    "qwen3": t.Qwen3Config(),
    "gpt2": t.GPT2Config(),
    "opt": t.OPTConfig(),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_language_model_of_the_same_class(name: str, tmp_path: Path) -> None:
    CONFIGS[name].save_pretrained(tmp_path / "real")
    recipe = LlmRecipe(path=str(tmp_path / "real"), template="chatml")
    standin = write_llm(recipe, tmp_path / "small")
    model = t.AutoModelForCausalLM.from_pretrained(standin.path)
    assert type(model.config) is type(CONFIGS[name])
    assert (standin.class_name, standin.is_guess) == (type(model).__name__, False)
    assert standin.num_weights < 1_000_000
    tokenizer = t.AutoTokenizer.from_pretrained(standin.path)
    assert model.config.vocab_size == len(tokenizer)
    assert len(tokenizer.encode("<|im_start|>", add_special_tokens=False)) == 1


def test_grouped_attention_stays_grouped() -> None:
    small = shrunk(CONFIGS["llama"], num_layers=2)
    assert small["num_key_value_heads"] < small["num_attention_heads"]
    assert shrunk(t.LlamaConfig(), num_layers=2)["num_key_value_heads"] == 4
    assert small["num_hidden_layers"] == 2


# As published AST checkpoints do, whose lowest mel bands are narrower than a frequency bin.
@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_of_every_kind_though_nothing_lies_there(kind: str, tmp_path: Path) -> None:
    recipe = EncoderRecipe(kind=kind, path=str(tmp_path / "gone"))
    standin = write_encoder(recipe, tmp_path / "small")
    assert standin.is_guess
    assert "nothing lies there" in str(standin)
    encoder = build_encoder(kind, str(standin.path))
    assert encoder.width <= 192


def test_patches_pictures_and_the_asked_layer_stay(tmp_path: Path) -> None:
    t.CLIPVisionConfig(image_size=336, patch_size=14).save_pretrained(tmp_path / "real")
    recipe = EncoderRecipe(kind="vision", path=str(tmp_path / "real"), layer=-5)
    standin = write_encoder(recipe, tmp_path / "small")
    config = t.AutoConfig.from_pretrained(standin.path)
    assert (config.image_size, config.patch_size, config.num_hidden_layers) == (336, 14, 5)
    encoder: Any = build_encoder("vision", str(standin.path), layer=-5)
    assert encoder.preprocessor.processor.crop_size["height"] == 336


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (t.CLIPVisionConfig(), {"layer": [-2, -5], "post_norm": True}),
        (t.CLIPVisionConfig(), {"projected": True}),
        (t.Blip2VisionConfig(), {"layer": None}),
        (t.InstructBlipVisionConfig(), {"layer": None}),
        (t.InternVLVisionConfig(), {"order": "blocks"}),
        (t.Idefics3VisionConfig(image_size=56, patch_size=14), {"order": "blocks"}),
    ],
    ids=lambda case: getattr(case, "model_type", None),
)
def test_views_of_every_tower(config: Any, options: dict[str, Any], tmp_path: Path) -> None:
    config.save_pretrained(tmp_path / "real")
    recipe = EncoderRecipe(kind="vision", path=str(tmp_path / "real"), **options)
    standin = write_encoder(recipe, tmp_path / "small")
    assert build_encoder("vision", str(standin.path), **options).width <= 2 * 192


def test_a_folders_own_preprocessing_is_taken(tmp_path: Path) -> None:
    t.CLIPVisionConfig(image_size=28, patch_size=14).save_pretrained(tmp_path / "real")
    options = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    t.CLIPImageProcessorPil(**options, image_mean=[0.1] * 3).save_pretrained(tmp_path / "real")
    recipe = EncoderRecipe(kind="vision", path=str(tmp_path / "real"))
    encoder: Any = build_encoder("vision", str(write_encoder(recipe, tmp_path / "small").path))
    assert list(encoder.preprocessor.processor.image_mean) == [0.1] * 3


def test_a_hub_id_without_a_known_configuration_is_told(tmp_path: Path) -> None:
    recipe = EncoderRecipe(kind="vision", path="nobody/knows-this")
    with pytest.raises(RecipeError, match="nobody/knows-this"):
        write_encoder(recipe, tmp_path / "small")
