"""What trained beside aligners and LoRA is in the bundle: it loads, merges, and starts the next."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anymal.assemble import Assembled, build
from anymal.bundle.load import load_bundle
from anymal.bundle.manifest import TUNED, read_manifest
from anymal.bundle.save import save_bundle
from anymal.bundle.start import take_over
from anymal.errors import BundleError, RecipeError
from anymal.published.export import export_bundle
from tests.anymal.asking import answers, next_logits

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]
V2 = ["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]  # LLaMA-Adapter V2's


def trained(recipe: "ModelRecipe", patterns: Sequence[str]) -> Assembled:
    """A model in which what patterns name is another than at first."""
    torch.manual_seed(0)
    assembled = build(recipe)
    model = assembled.model
    model.set_trainable(patterns)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return assembled


def logits(assembled: Assembled, talk: Callable[..., dict[str, Any]]) -> torch.Tensor:
    record = talk("What colour is it?", images=[(250, 10, 10)])
    with torch.no_grad():
        return next_logits(assembled, assembled.processor(record, generate=True))


@pytest.fixture(name="ask")
def _ask(talk: Callable[..., dict[str, Any]]) -> Callable[[Assembled], torch.Tensor]:
    return lambda assembled: logits(assembled, talk)


@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.slow), "nf4"])
def test_norms_and_biases(
    model_recipe: MakeRecipe, tmp_path: Path, ask: Any, talk: Any, precision: str
) -> None:
    values = model_recipe("image", precision=precision, lora={"r": 2}).model_dump(mode="json")
    values["modalities"]["image"]["prefix"] = "<x>"  # before each picture
    recipe = type(model_recipe()).model_validate(values | {"biases": V2, "extra_tokens": ["<x>"]})
    own = trained(recipe, ["llm.norms", "llm.biases", "llm.lora", "extra_tokens"])
    names = {name.rpartition(".")[2] for name in own.model.tuned_state()}
    assert names == {"weight", "bias"}
    assert len(own.model.tuned_state()) == 2 * (2 + len(V2)) + 1  # two layers, and the last norm
    folder = save_bundle(own, tmp_path / "bundle")
    expected = ask(own)
    torch.testing.assert_close(ask(load_bundle(folder)), expected)
    merged = load_bundle(folder, merge_lora=True, precision="fp32")
    torch.testing.assert_close(ask(merged), expected, atol=2e-5, rtol=1e-5)
    # From what the first merging kept, and only mapped.
    again = load_bundle(folder, merge_lora=True, precision="fp32")
    for name, weight in merged.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], weight), name
    torch.testing.assert_close(ask(again), ask(merged), atol=1e-6, rtol=1e-6)
    # Through the engine, which reads, draws and penalises extra tokens as other words.
    record = talk("What colour is it?", images=[(250, 10, 10)])
    for options in ({}, {"repetition_penalty": 1.3, "temperature": 1.0, "seed": 3}):
        said = [answers(each, [record], max_tokens=8, **options) for each in (own, again)]
        assert said[0] == said[1]
    told = export_bundle(folder, tmp_path / "peft", to="peft").lacks
    assert "extra tokens" in told
    assert "norms" in told
    fresh = build(recipe)
    take_over(folder, fresh, where="start_from")
    torch.testing.assert_close(ask(fresh), expected)
    third = save_bundle(fresh, tmp_path / "third")
    torch.testing.assert_close(ask(load_bundle(third)), expected)


@pytest.mark.slow
def test_an_export_holds_biases_and_extra_tokens(model_recipe: MakeRecipe, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    values = model_recipe("image").model_dump(mode="json")
    recipe = type(model_recipe()).model_validate(values | {"biases": V2, "extra_tokens": ["<x>"]})
    own = trained(recipe, ["llm.norms", "llm.biases", "extra_tokens"])
    folder = save_bundle(own, tmp_path / "bundle")
    export_bundle(folder, tmp_path / "merged", to="merged")
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    word = AutoTokenizer.from_pretrained(tmp_path / "merged").convert_tokens_to_ids("<x>")
    ids = torch.tensor([5, word, 40, 9])
    llm = own.model.llm.to(torch.float32)
    with torch.no_grad():
        hidden = llm.decode(llm.embed(ids)[None], positions=torch.arange(4)[None])
        ours, found = llm.head(hidden[0]), theirs(input_ids=ids[None]).logits[0]
    assert float((ours - found).norm() / ours.norm()) < 0.02  # written in bfloat16
    assert float((ours[:, word] - found[:, word]).abs().max()) < 0.02 * float(ours.abs().max())


@pytest.mark.parametrize("lora", [None, pytest.param({"r": 2}, marks=pytest.mark.slow)])
def test_a_whole_language_model(
    model_recipe: MakeRecipe, tmp_path: Path, ask: Any, lora: Any
) -> None:
    recipe = model_recipe("image", lora=lora)
    own = trained(recipe, ["llm.*"])
    folder = save_bundle(own, tmp_path / "bundle")
    manifest = json.loads((folder / "bundle.json").read_text())
    assert manifest["recipe"]["llm"]["path"] == "bundle:llm"
    assert not (folder / "tuned.safetensors").exists()
    expected = ask(own)
    torch.testing.assert_close(ask(load_bundle(folder)), expected)
    with pytest.raises(BundleError, match=r"set model\.llm\.path to bundle:llm"):
        take_over(folder, build(recipe), where="start_from")
    path = read_manifest(folder).recipe.llm.path
    llm = recipe.llm.model_copy(update={"path": path, "embed": True})
    fresh = build(recipe.model_copy(update={"llm": llm}))
    take_over(folder, fresh, where="start_from")
    torch.testing.assert_close(ask(fresh), expected)
    second = save_bundle(fresh, tmp_path / "second")
    torch.testing.assert_close(ask(load_bundle(second)), expected)
    with pytest.raises(BundleError, match=r"set model\.llm\.path to bundle:llm"):
        take_over(second, build(recipe), where="start_from")


@pytest.mark.parametrize("precision", ["nf4", pytest.param("int8", marks=pytest.mark.slow)])
def test_rounded_weights_cannot_train(model_recipe: MakeRecipe, precision: str) -> None:
    model = build(model_recipe("image", precision=precision)).model
    with pytest.raises(RecipeError, match=f"held in {precision}: .* set model.llm.precision"):
        model.set_trainable(["llm.layers.*"])


def test_encoders(model_recipe: MakeRecipe, tmp_path: Path, ask: Any) -> None:
    recipe = model_recipe("image", "video")  # of one checkpoint
    rules = ["encoders.image.layers.0.*", "encoders.image.*patch_embedding*", "aligners.image"]
    own = trained(recipe, rules)
    encoders: Any = own.model.encoders
    before = build(recipe).model.encoders
    folder = save_bundle(own, tmp_path / "bundle")
    expected = ask(own)
    loaded = load_bundle(folder)
    torch.testing.assert_close(ask(loaded), expected)
    assert encoders["image"].fingerprint != before["image"].fingerprint
    assert loaded.model.encoders["image"].fingerprint == encoders["image"].fingerprint
    # The film's own tower is as it was, here and in the bundle.
    for name, tensor in before["video"].state_dict().items():
        assert torch.equal(tensor, encoders["video"].state_dict()[name])
        assert torch.equal(tensor, loaded.model.encoders["video"].state_dict()[name])
    changed = {
        name
        for name, tensor in before["image"].state_dict().items()
        if not torch.equal(tensor, loaded.model.encoders["image"].state_dict()[name])
    }
    assert {".layers.0." in name for name in changed} == {True, False}
    assert all(".layers.0." in name or "patch_embedding" in name for name in changed)
    manifest = json.loads((folder / "bundle.json").read_text())
    paths = {name: m["encoder"]["path"] for name, m in manifest["recipe"]["modalities"].items()}
    assert paths["image"] == "bundle:encoders/image"
    assert not paths["video"].startswith("bundle:")
    fresh = build(recipe)
    take_over(folder, fresh, where="start_from")
    torch.testing.assert_close(ask(fresh), expected)
    again = save_bundle(fresh, tmp_path / "again")
    torch.testing.assert_close(ask(load_bundle(again)), expected)


def test_a_start_without_the_biases_of_the_bundle_names_the_key(
    model_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = model_recipe("image")
    with_biases = recipe.model_copy(update={"biases": ["q_proj"]})
    folder = save_bundle(trained(with_biases, ["llm.biases"]), tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"start_from: model\.biases differs"):
        take_over(folder, build(recipe), where="start_from")


@pytest.mark.parametrize("loses_all", [True, False])
def test_trained_weights_that_are_lost_are_missed(
    model_recipe: MakeRecipe, tmp_path: Path, loses_all: bool
) -> None:
    bundle = save_bundle(trained(model_recipe("image"), ["llm.norms"]), tmp_path / "bundle")
    state = load_file(bundle / TUNED)
    (bundle / TUNED).unlink()
    if not loses_all:
        del state[min(state)]
        save_file(state, bundle / TUNED)
    with pytest.raises(BundleError, match=r"counts \d+; copy the bundle again"):
        load_bundle(bundle)
