"""Kept weights answer as those that were just made, and are used for what they were made from."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anymal.assemble import build
from anymal.bundle import kept_weights
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.errors import BundleError
from anymal.llm.merge_lora import MERGED_PRECISIONS
from tests.anymal.bundle.kept import kept, scores
from tests.tiny import save_llm

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(name="bundle")
def _bundle(nf4_bundle: Path) -> Path:
    return nf4_bundle


@pytest.mark.parametrize("precision", MERGED_PRECISIONS)
def test_kept_weights_compute_the_same_bits(
    bundle: Path, precision: str, no_checkpoint: Callable[[], None]
) -> None:
    made = scores(bundle, precision)
    assert len(kept()) == 1
    no_checkpoint()
    assert torch.equal(scores(bundle, precision), made)


def test_language_models_of_other_classes_are_kept_too(
    model_recipe: Callable[..., "ModelRecipe"], tmp_path: Path, no_checkpoint: Callable[[], None]
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from tests.tiny import save_tokenizer

    save_tokenizer(tmp_path / "gpt2")  # whose linear layers hold their weights transposed
    sizes = {"vocab_size": 320, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    GPT2LMHeadModel(GPT2Config(**sizes, **ends)).save_pretrained(tmp_path / "gpt2")
    recipe = model_recipe("imu", lora={"r": 2}, precision="nf4", path=str(tmp_path / "gpt2"))
    bundle = save_bundle(build(recipe), tmp_path / "of-gpt2")
    made = scores(bundle)
    no_checkpoint()
    assert torch.equal(scores(bundle), made)


def test_a_copy_elsewhere_uses_the_same_weights(
    bundle: Path, tmp_path: Path, no_checkpoint: Callable[[], None]
) -> None:
    made = scores(bundle)
    no_checkpoint()
    shutil.copytree(bundle, tmp_path / "elsewhere")
    assert torch.equal(scores(tmp_path / "elsewhere"), made)


def test_other_lora_other_weights_and_other_precisions_are_kept_apart(
    bundle: Path, tmp_path: Path
) -> None:
    made = scores(bundle)
    path = bundle / "lora" / "adapter_model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path)
    stronger = scores(bundle)
    assert not torch.allclose(stronger, made)
    assert torch.equal(scores(bundle), stronger)
    path = bundle / "llm" / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.0.mlp.up_proj.weight"] *= 2  # nothing that the manifest knows of
    save_file(weights, path, metadata={"format": "pt"})
    assert not torch.allclose(scores(bundle), stronger)
    scores(bundle, "bf16")
    assert len(kept()) == 4


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("_of_code", lambda: "0"),
        ("version", lambda package: "9" if package == "torch" else "1"),
        ("weight_layout", lambda precision: f"{precision} of another processor"),
    ],
)
def test_what_other_code_or_processors_made_is_not_used(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, other: Any
) -> None:
    scores(bundle, "int4")
    monkeypatch.setattr(kept_weights, name, other)
    scores(bundle, "int4")
    assert len(kept()) == 2


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tied_words_stay_in_memory_once(
    model_recipe: Callable[..., "ModelRecipe"],
    tmp_path: Path,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anymal.llm.packed_linear._SMALLEST", 1)
    path = str(save_llm(tmp_path / "tied", tie_word_embeddings=True))
    recipe = model_recipe("imu", lora={"r": 2}, precision="nf4", path=path)
    bundle = save_bundle(build(recipe), tmp_path / "of-tied")
    for _ in ("made", "kept"):
        model = load_bundle(bundle, precision=precision, merge_lora=True).model.llm.model
        head, table = model.get_output_embeddings(), model.get_input_embeddings()
        name = "weight" if precision == "fp32" else "codes"
        assert getattr(head, name) is getattr(table, name)


def test_facts_of_the_manifest_are_checked_with_kept_weights_too(bundle: Path) -> None:
    scores(bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["llm"]["embeddings"] = "0" * 64
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"llm\.embeddings differs"):
        scores(bundle)


def test_a_checkpoint_that_is_mapped_as_it_is_is_not_copied(
    model_recipe: Callable[..., "ModelRecipe"], tmp_path: Path
) -> None:
    bundle = save_bundle(build(model_recipe("imu")), tmp_path / "plain")
    scores(bundle)
    assert kept() == []


# --- files too large to be hashed at every start ------------------------------------------------


@pytest.mark.usefixtures("large")
def test_a_large_file_that_changed_just_now_is_not_trusted(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_weights, "_SETTLED_S", 60.0)
    scores(bundle)
    assert kept() == []
    monkeypatch.setattr(kept_weights, "_SETTLED_S", -1.0)
    scores(bundle)
    assert len(kept()) == 1
