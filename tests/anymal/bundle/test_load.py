"""Bundles: what is saved comes back bit for bit, and what differs is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.assemble import Assembled, build
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.save import save_bundle
from anymal.errors import AnymalError, BundleError, RecipeError
from tests.anymal.asking import next_logits
from tests.tiny import save_llm, save_vision

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

Talk = Callable[..., dict[str, Any]]
MakeRecipe = Callable[..., "ModelRecipe"]
Bundle = SimpleNamespace


def trained(recipe: "ModelRecipe") -> Assembled:
    """A model whose LoRA does something."""
    torch.manual_seed(3)
    assembled = build(recipe)
    assembled.model.set_trainable(["llm.lora"])
    for parameter in assembled.model.llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return assembled


def logits(assembled: Assembled, record: dict[str, Any]) -> torch.Tensor:
    return next_logits(assembled, assembled.processor(record, generate=True))


@pytest.fixture(scope="module", name="bundle")
def _bundle(model_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A saved bundle with everything inside, and the model that it was saved from."""
    assembled = trained(model_recipe(lora={"r": 2}, embed=True, precision="nf4"))
    folder = tmp_path_factory.mktemp("bundles") / "one"
    save_bundle(
        assembled,
        folder,
        stages=[{"name": "align"}],
        data_sources=[{"name": "squares", "licence": "CC0"}],
        results={"accuracy": 1.0},
    )
    return Bundle(assembled=assembled, folder=folder)


@pytest.fixture(name="copy")
def _copy(bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(bundle.folder, tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder: Path, *keys: str, to: Any) -> None:
    """Change one value of the manifest."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    inner = manifest
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(manifest))


def test_loads_to_the_same_logits_wherever_it_lies(bundle: Bundle, copy: Path, talk: Talk) -> None:
    record = talk("What?", images=[(255, 0, 0)], motions=1)
    loaded = load_bundle(copy)
    assert torch.equal(logits(loaded, record), logits(bundle.assembled, record))
    assert not loaded.model.training
    assert loaded.processor.pad_id == bundle.assembled.processor.pad_id


def test_whoever_may_read_the_manifest_may_read_the_weights(bundle: Bundle) -> None:
    ours = ("bundle.json", "aligners.safetensors", "lora/adapter_model.safetensors")
    assert len({(bundle.folder / name).stat().st_mode for name in ours}) == 1


def test_a_loaded_bundle_saves_to_itself(bundle: Bundle, copy: Path, talk: Talk) -> None:
    record = talk("What?", motions=1)
    save_bundle(load_bundle(copy), copy)
    assert torch.equal(logits(load_bundle(copy), record), logits(bundle.assembled, record))
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_precision_can_be_chosen(model_recipe: MakeRecipe, bundle: Bundle, talk: Talk) -> None:
    record = talk("What?", images=[(255, 0, 0)])
    loaded = load_bundle(bundle.folder, precision="fp32")
    expected = build(model_recipe(lora={"r": 2}, precision="fp32"))
    expected.model.load_trainable_state(bundle.assembled.model.trainable_state())
    assert torch.equal(logits(loaded, record), logits(expected, record))
    assert not torch.equal(logits(loaded, record), logits(bundle.assembled, record))
    with pytest.raises(BundleError, match="nf4, int8, bf16, fp32, int4"):
        load_bundle(bundle.folder, precision="fp8")


def test_describe_tells_what_was_saved(bundle: Bundle) -> None:
    manifest = describe(bundle.folder)
    assert manifest.trained_precision == "nf4"
    assert manifest.llm.hidden_size == 64
    assert manifest.data_sources == [{"name": "squares", "licence": "CC0"}]
    assert manifest.results == {"accuracy": 1.0}
    assert manifest.modalities["imu"].aligner == {"kind": "linear", "num_tokens": 40}
    assert manifest.recipe.llm.path == str(bundle.folder / "llm")


def test_only_what_the_recipe_embeds_is_inside(
    model_recipe: MakeRecipe, bundle: Bundle, tmp_path: Path
) -> None:
    assert {path.name for path in bundle.folder.iterdir()} == {
        "bundle.json",
        "aligners.safetensors",
        "lora",
        "llm",
        "encoders",
    }
    assert {path.name for path in (bundle.folder / "lora").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    save_bundle(build(model_recipe()), tmp_path / "light")
    names = {path.name for path in (tmp_path / "light").iterdir()}
    assert names == {"bundle.json", "aligners.safetensors"}
    load_bundle(tmp_path / "light")


def test_modalities_share_an_embedded_encoder(model_recipe: MakeRecipe, tmp_path: Path) -> None:
    save_bundle(build(model_recipe("image", "video", embed=True)), tmp_path / "two")
    assert [path.name for path in (tmp_path / "two" / "encoders").iterdir()] == ["image"]
    load_bundle(tmp_path / "two")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("llm", "path"), "other/llm"),
        (("llm", "revision"), "main"),
        (("llm", "hidden_size"), 65),
        (("llm", "embeddings"), "0"),
        (("llm", "tokenizer"), "0"),
        (("llm", "template"), "0"),
        (("modalities", "image", "fingerprint"), "0"),
        (("modalities", "image", "width"), 17),
        (("modalities", "image", "kind"), "frames"),
        (("modalities", "image", "path"), "other/vision"),
        (("modalities", "imu", "aligner"), {"kind": "linear", "num_tokens": 41}),
        (("lora",), None),
    ],
)
def test_strict_load_names_the_field(copy: Path, keys: tuple[str, ...], value: Any) -> None:
    edit(copy, *keys, to=value)
    with pytest.raises(BundleError) as error:
        load_bundle(copy)
    assert f"{'.'.join(keys)} differs" in str(error.value)


@pytest.mark.parametrize(
    ("keys", "value", "field"),
    [
        (("recipe", "llm", "template"), "vicuna", "llm.template"),
        (("recipe", "modalities", "image", "encoder", "layer"), -1, "modalities.image.fingerprint"),
        (("recipe", "modalities", "imu", "aligner", "num_tokens"), 64, "modalities.imu.aligner"),
        (("recipe", "modalities", "image", "aligner", "depth"), 2, "modalities.image.aligner"),
        (("recipe", "lora", "r"), 3, "bundle.lora"),
    ],
)
def test_a_changed_recipe_is_found_out(
    copy: Path, keys: tuple[str, ...], value: Any, field: str
) -> None:
    edit(copy, *keys, to=value)
    with pytest.raises(BundleError) as error:
        load_bundle(copy)
    assert f"{field} differs" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hidden_size": 32}, "llm.hidden_size"),
        ({"seed": 1}, "llm.embeddings"),
        ({"vocab_size": 300}, "llm.embeddings"),
    ],
)
def test_another_language_model_is_found_out(
    copy: Path, changes: dict[str, Any], field: str
) -> None:
    shutil.rmtree(copy / "llm")
    save_llm(copy / "llm", **changes)
    with pytest.raises(BundleError) as error:
        load_bundle(copy)
    assert f"{field} differs" in str(error.value)


def test_another_tokenizer_is_found_out(copy: Path) -> None:
    path = copy / "llm" / "tokenizer.json"
    path.write_text(
        path.read_text().replace('"add_prefix_space": false', '"add_prefix_space": true')
    )
    with pytest.raises(BundleError, match=r"llm\.tokenizer differs"):
        load_bundle(copy)


def test_another_encoder_is_found_out(copy: Path) -> None:
    save_vision(copy / "encoders" / "image", seed=1)
    with pytest.raises(BundleError, match=r"modalities\.image\.fingerprint differs"):
        load_bundle(copy)


def test_missing_weights_are_named(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = copy / "aligners.safetensors"
    weights = load_file(path)
    weights.pop("imu.project.weight")
    save_file(weights, path)
    with pytest.raises(BundleError, match=r"aligners\.imu\.project\.weight is absent"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("name", "error", "next_step"),
    [
        ("aligners.safetensors", BundleError, "copy the bundle again"),
        ("lora/adapter_model.safetensors", BundleError, "copy the bundle again"),
        ("encoders/image/model.safetensors", RecipeError, "give the folder or Hub id"),
        ("encoders/imu/model.safetensors", RecipeError, "give the folder or Hub id"),
    ],
)
def test_damage_is_named(copy: Path, name: str, error: type[AnymalError], next_step: str) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(error, match=f"cannot be read.*{next_step}"):
        load_bundle(copy)
    path.unlink()
    with pytest.raises(error, match="cannot be read"):
        load_bundle(copy)


def test_manifest_that_cannot_be_read(copy: Path, tmp_path: Path) -> None:
    edit(copy, "schema_version", to=4)
    with pytest.raises(BundleError, match="schema version 4; this version of anymal reads 1, 2, 3"):
        load_bundle(copy)
    (copy / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(copy)
    with pytest.raises(BundleError, match="is not a bundle"):
        describe(tmp_path)
