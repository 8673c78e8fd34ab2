"""Models that cannot become a bundle: each is refused by its cause, and nothing is written."""

from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoConfig,
    Blip2Config,
    Gemma3Config,
    InstructBlipConfig,
    MllamaConfig,
    PaliGemmaConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
    T5Config,
)

from anymal.errors import AnymalError
from anymal.published.importing import import_model
from tests.anymal.bundle.strangers import edit
from tests.systems.original import save_original
from tests.systems.refusals import refusal, tree
from tests.systems.sounding_checkpoints import save_ultravox


def write_config(folder: Path, config: Any, name: str) -> Path:
    """A checkpoint of another class, which is refused by its configuration alone."""
    folder.mkdir()
    config.architectures = [name]
    config.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "name", "why"),
    [
        (PaliGemmaConfig(), "PaliGemmaForConditionalGeneration", "attends both ways"),
        (Gemma3Config(), "Gemma3ForConditionalGeneration", "attends both ways"),
        (Qwen2VLConfig(), "Qwen2VLForConditionalGeneration", "three dimensions"),
        (Qwen3VLConfig(), "Qwen3VLForConditionalGeneration", "in several of its layers"),
        (MllamaConfig(), "MllamaForConditionalGeneration", "in several of its layers"),
        (
            Blip2Config(text_config=T5Config().to_dict()),
            "Blip2ForConditionalGeneration",
            "an encoder and a decoder",
        ),
        (
            InstructBlipConfig(text_config=T5Config().to_dict()),
            "InstructBlipForConditionalGeneration",
            "an encoder and a decoder",
        ),
        (AutoConfig.for_model("llama"), "LlamaForCausalLM", "classes that can: "),
    ],
)
def test_what_a_bundle_cannot_say_is_refused_by_its_cause(
    tmp_path: Path, config: Any, name: str, why: str
) -> None:
    message = refusal(write_config(tmp_path / "other", config, name))
    assert name in message
    assert why in message


def test_the_code_of_an_unknown_class_is_named(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "other", AutoConfig.for_model("llama"), "Mystery")
    edit(folder / "config.json", "auto_map", to={"AutoModel": "modeling.Evil"})
    message = refusal(folder)
    assert "Mystery, which cannot be imported, and its own code (auto_map) is never run" in message
    assert "LlavaForConditionalGeneration" in message


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"mm_projector_type": "mlp3x_gelu"}, "'mlp3x_gelu'; this layout is read with linear"),
        ({"image_aspect_ratio": "anyres"}, "'anyres'; this layout is read with square, pad"),
        ({"mm_vision_tower": "someone/tower"}, "someone/tower' of the Hub"),
        ({"mm_vision_tower": None}, "names no mm_vision_tower"),
    ],
)
def test_the_original_layout_says_what_it_is_not_read_with(
    tmp_path: Path, setting: dict[str, Any], why: str
) -> None:
    assert why in refusal(save_original(tmp_path / "llava", **setting))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (5, "names another checkpoint by 5, which is no name"),
        ("a\0b", "is no Hub id"),
        ("a" * 5000, "is no Hub id"),
    ],
)
def test_what_can_name_no_checkpoint_is_refused(tmp_path: Path, name: object, why: str) -> None:
    folder = save_ultravox(tmp_path / "ultravox")
    edit(folder / "config.json", "text_model_id", to=name)
    assert why in refusal(folder)


# --- what is no checkpoint, and where a bundle may go -------------------------------------------


def test_a_hub_id_takes_permission(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(AnymalError, match="--allow-hub"):
        import_model("someone/llava", tmp_path / "in" / "b", tell=lambda _: None)
    with pytest.raises(AnymalError, match="there is no folder"):
        import_model("./someone/llava", tmp_path / "in" / "b", tell=lambda _: None)
    assert tree(tmp_path) == {tmp_path / "in"}
