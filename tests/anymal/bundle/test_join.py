"""Joining: aligners of several bundles come together bit for bit; what cannot join is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anymal.assemble import build
from anymal.bundle.join import join_bundles
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.save import save_bundle
from anymal.cli.main import app
from anymal.errors import BundleError

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]
Save = Callable[..., Path]
LETTERS = {"name": "letters", "licence": "CC0"}


@pytest.fixture(name="save")
def _save(model_recipe: MakeRecipe, tmp_path: Path) -> Save:
    """Saves a fresh bundle of some modalities."""

    def save(name: str, *modalities: str, lora: bool = False, **llm: object) -> Path:
        whole = model_recipe(lora={"r": 2} if lora else None, embed=True, **llm)
        image = whole.modalities["image"]
        frames = image.encoder.model_copy(update={"kind": "frames", "num_frames": 2})
        known = whole.modalities | {"video": image.model_copy(update={"encoder": frames})}
        torch.manual_seed(len(name))
        recipe = whole.model_copy(update={"modalities": {one: known[one] for one in modalities}})
        folder = tmp_path / name
        return save_bundle(build(recipe), folder, stages=[{"name": name}], data_sources=[LETTERS])

    return save


def test_joined_has_the_aligners_of_both(save: Save, tmp_path: Path) -> None:
    parts = [save("still", "image", "imu"), save("films", "video")]
    joined = load_bundle(join_bundles(parts, tmp_path / "joined"))
    state = joined.model.trainable_state()
    for part in parts:
        own = load_bundle(part).model.trainable_state()
        assert all(torch.equal(state[name], tensor) for name, tensor in own.items())
    assert set(joined.model.aligners) == {"image", "imu", "video"}
    manifest = describe(tmp_path / "joined")
    assert manifest.stages == [{"name": "still"}, {"name": "films"}]
    assert manifest.data_sources == [LETTERS]


def test_one_encoder_is_copied_once_wherever_it_lay(save: Save, tmp_path: Path) -> None:
    joined = join_bundles([save("a", "image"), save("bc", "video")], tmp_path / "joined")
    assert [folder.name for folder in (joined / "encoders").iterdir()] == ["image"]
    recipe = describe(joined).recipe.modalities
    assert recipe["image"].encoder.path == recipe["video"].encoder.path


def test_the_command_writes_what_the_function_does(save: Save, tmp_path: Path) -> None:
    parts = [str(save("a", "image")), str(save("bc", "imu"))]
    shown = CliRunner().invoke(app, ["bundle", "join", *parts, "--out", str(tmp_path / "joined")])
    assert (shown.exit_code, shown.stdout) == (0, f"bundle: {tmp_path / 'joined'}\n")
    assert set(describe(tmp_path / "joined").modalities) == {"image", "imu"}


def test_one_bundle_is_not_joined(save: Save, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="at least two"):
        join_bundles([save("a", "image")], tmp_path / "joined")


def test_a_modality_in_both_is_refused(save: Save, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has an aligner for image"):
        join_bundles([save("a", "image"), save("bc", "image", "imu")], tmp_path / "joined")


def test_a_modality_that_is_the_same_in_both_comes_once(save: Save, tmp_path: Path) -> None:
    first, second = save("a", "image"), save("bc", "image", "imu")
    other = load_file(second / "aligners.safetensors")
    shared = {**other, **load_file(first / "aligners.safetensors")}
    save_file(shared, second / "aligners.safetensors")
    joined = join_bundles([first, second], tmp_path / "joined")
    assert list(describe(joined).modalities) == ["image", "imu"]
    state = load_file(joined / "aligners.safetensors")
    assert all(torch.equal(state[name], tensor) for name, tensor in shared.items())


def test_a_shared_modality_that_is_written_otherwise_is_refused(save: Save, tmp_path: Path) -> None:
    first = save("a", "image")
    second = Path(shutil.copytree(first, tmp_path / "second"))
    manifest = json.loads((second / "bundle.json").read_text())
    manifest["recipe"]["modalities"]["image"]["prefix"] = "Look:"
    (second / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="has an aligner for image"):
        join_bundles([first, second], tmp_path / "joined")


def test_lora_is_refused(save: Save, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has LoRA"):
        join_bundles([save("a", "image"), save("bc", "imu", lora=True)], tmp_path / "joined")


def test_another_precision_is_refused(save: Save, tmp_path: Path) -> None:
    parts = [save("a", "image"), save("bc", "imu", precision="nf4")]
    with pytest.raises(BundleError, match=r"recipe\.llm\.precision differs"):
        join_bundles(parts, tmp_path / "joined")


def test_another_language_model_is_refused(save: Save, tmp_path: Path) -> None:
    first, second = save("a", "image"), save("bc", "imu")
    manifest = json.loads((second / "bundle.json").read_text())
    manifest["llm"]["embeddings"] = "of another table"
    (second / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"llm\.embeddings differs"):
        join_bundles([first, second], tmp_path / "joined")


def test_another_order_of_media_and_text_is_refused(save: Save, tmp_path: Path) -> None:
    first, second = save("a", "image"), save("bc", "imu")
    manifest = json.loads((second / "bundle.json").read_text())
    manifest["recipe"]["media_first"] = True
    (second / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"recipe\.media_first differs"):
        join_bundles([first, second], tmp_path / "joined")
