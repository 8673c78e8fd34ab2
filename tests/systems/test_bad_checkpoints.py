"""Checkpoints that cannot be imported: one clear error each, and nothing is written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    Blip2Config,
    Gemma3Config,
    IdeficsConfig,
    MllamaConfig,
    PaliGemmaConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
    T5Config,
)

from anymal.errors import AnymalError
from anymal.published.importing import import_model
from tests.anymal.bundle.strangers import edit
from tests.systems.checkpoints import save_llava
from tests.systems.original import save_original
from tests.systems.sounding_checkpoints import save_ultravox

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of two files."""
    place = tmp_path_factory.mktemp("whole")
    return save_llava(place / "llava", options={"max_shard_size": "300KB"})


@pytest.fixture(name="llava")
def _llava(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "llava"))


def refusal(folder: Path, *, bundle: Path | None = None) -> str:
    """How a checkpoint is refused, which leaves everything as it was."""
    before = tree(folder.parent)
    with pytest.raises(AnymalError) as refused:
        import_model(folder, bundle or folder.parent / "new" / "bundle", tell=lambda _: None)
    assert tree(folder.parent) == before
    message = str(refused.value)
    assert "\n" not in message
    return message


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def write_config(folder: Path, config: Any, name: str) -> Path:
    """A checkpoint of another class, which is refused by its configuration alone."""
    folder.mkdir()
    config.architectures = [name]
    config.save_pretrained(folder)
    return folder


# --- files --------------------------------------------------------------------------------------


def lies(folder: Path) -> None:
    edit(folder / "config.json", "text_config", "intermediate_size", to=10**8)


def lies_about_its_tower(folder: Path) -> None:
    edit(folder / "config.json", "vision_config", "intermediate_size", to=10**9)


def makes_no_sense(folder: Path) -> None:
    edit(folder / "config.json", "text_config", "num_attention_heads", to=0)


def names_code(folder: Path) -> None:
    edit(folder / "config.json", "auto_map", to={"AutoModel": "modeling.Evil"})


def names_code_of_its_processor(folder: Path) -> None:
    edit(folder / "processor_config.json", "auto_map", to={"AutoProcessor": "evil.Evil"})


def leads_out(folder: Path) -> None:
    (folder.parent / "outside.safetensors").write_bytes(b"")
    edit(folder / INDEX, "weight_map", "lm_head.weight", to="../outside.safetensors")


def has_no_map(folder: Path) -> None:
    edit(folder / INDEX, "weight_map", to=[])


def lacks_a_file(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()


def is_cut_short(folder: Path) -> None:
    file = folder / "model-00002-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def lacks_a_weight(folder: Path) -> None:
    file = folder / "model-00002-of-00002.safetensors"
    save_file(dict(list(load_file(file).items())[1:]), file, metadata={"format": "pt"})


def has_pickles_alone(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()
    torch.save({}, folder / "pytorch_model.bin")


def disagrees_with_itself(folder: Path) -> None:
    edit(folder / "processor_config.json", "patch_size", to=4)


def asks_for_huge_pictures(folder: Path) -> None:
    size = {"shortest_edge": 10**6}
    edit(folder / "processor_config.json", "image_processor", "size", to=size)


def asks_for_a_huge_cut(folder: Path) -> None:
    size = {"height": 10**6, "width": 10**6}
    edit(folder / "processor_config.json", "image_processor", "crop_size", to=size)


def is_quantised(folder: Path) -> None:
    edit(folder / "config.json", "quantization_config", to={"quant_method": "awq"})


def has_no_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def has_an_endless_template(folder: Path) -> None:
    loops = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(loops)


def links_out(folder: Path) -> None:
    (folder / "notes.json").symlink_to("/etc/hostname")


def has_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def has_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def is_a_pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def never_ends(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (is_a_pipe, "config.json is not an ordinary file"),
        (never_ends, "config.json is not an ordinary file"),
        (lies, "weights, and its files hold"),
        (lies_about_its_tower, "weights, and its files hold"),
        (makes_no_sense, "makes no sense (ZeroDivisionError"),
        (names_code, "'config.json' names code (auto_map)"),
        (names_code_of_its_processor, "'processor_config.json' names code (auto_map)"),
        (leads_out, "names a file outside of its folder: '../outside.safetensors'"),
        (has_no_map, "does not say which file holds a weight"),
        (lacks_a_file, "lacks 1 of 2 files of weights: model-00002-of-00002.safetensors"),
        (is_cut_short, "cannot be read (Error while deserializing header"),
        (lacks_a_weight, "lacks 1 weights of LlavaForConditionalGeneration"),
        (has_pickles_alone, "pickles alone"),
        (disagrees_with_itself, "LlavaForConditionalGeneration of "),
        (disagrees_with_itself, " cannot be asked (ValueError"),
        (asks_for_huge_pictures, "at most 4096 pixels a side are allowed"),
        (asks_for_a_huge_cut, "at most 4096 pixels a side are allowed"),
        (is_quantised, "holds quantised weights"),
        (has_no_template, "no chat template"),
        (has_an_endless_template, "seconds of processor time"),
        (links_out, "is a link that leads out of the checkpoint"),
        (has_an_adapter, "would load another model"),
        (is_no_json, "config.json' cannot be read"),
        (has_no_config, "config.json' cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    llava: Path, damage: Callable[[Path], None], why: str
) -> None:
    damage(llava)
    assert why in refusal(llava)


def test_a_folder_like_the_cache_of_the_hub_reaches_no_further(llava: Path) -> None:
    snapshot = llava.parent / "snapshots" / "main"
    snapshot.parent.mkdir()
    llava.rename(snapshot)
    (llava.parent / "blobs").symlink_to("/etc")
    (snapshot / "notes.txt").symlink_to("/etc/hostname")
    assert "is a link that leads out of the checkpoint" in refusal(snapshot)


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.mm_projector.0.weight"])
@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, name: str, legacy: bool) -> None:
    folder = save_original(tmp_path / "llava", pickles=True)
    file, done = folder / "pytorch_model.bin", tmp_path / "done"
    weights = torch.load(file, weights_only=True) | {name: Evil(done)}
    torch.save(weights, file, _use_new_zipfile_serialization=not legacy)
    assert "a pickle holds more than tensors, perhaps code, and was not read" in refusal(folder)
    assert not done.exists()


# --- classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "name", "why"),
    [
        (PaliGemmaConfig(), "PaliGemmaForConditionalGeneration", "attends both ways"),
        (Gemma3Config(), "Gemma3ForConditionalGeneration", "attends both ways"),
        (Qwen2VLConfig(), "Qwen2VLForConditionalGeneration", "three dimensions"),
        (Qwen3VLConfig(), "Qwen3VLForConditionalGeneration", "in several of its layers"),
        (MllamaConfig(), "MllamaForConditionalGeneration", "in several of its layers"),
        (IdeficsConfig(), "IdeficsForVisionText2Text", "in several of its layers"),
        (
            Blip2Config(text_config=T5Config().to_dict()),
            "Blip2ForConditionalGeneration",
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
    names_code(folder)
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


def test_a_folder_of_something_else_is_left_alone(llava: Path) -> None:
    assert "holds something that is not a bundle" in refusal(llava, bundle=llava)
