"""Checkpoints that cannot be imported: one clear error each, and nothing is written."""

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anymal.chat import template_process
from tests.anymal.bundle.strangers import edit
from tests.systems.checkpoints import save_llava
from tests.systems.original import save_original
from tests.systems.refusals import refusal

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


def test_an_endless_template_is_stopped_once(llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_process, "MAX_SECONDS", 0.5)
    loops = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
    (llava / "chat_template.jinja").write_text(loops)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert "seconds of processor time" in refusal(llava)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2 * 0.5


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


def test_a_tensor_of_one_number_repeated_is_not_copied(tmp_path: Path) -> None:
    folder = save_original(tmp_path / "llava", pickles=True)
    file, name = folder / "pytorch_model.bin", "model.mm_projector.0.weight"
    huge = {name: torch.zeros(1).expand(10**6, 10**6)}
    torch.save(torch.load(file, weights_only=True) | huge, file)
    assert "is larger than the file" in refusal(folder)


def test_a_folder_of_something_else_is_left_alone(llava: Path) -> None:
    assert "holds something that is not a bundle" in refusal(llava, bundle=llava)
