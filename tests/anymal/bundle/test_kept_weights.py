"""Kept weights answer as those that were just made, or are made again and the log says why."""

import errno
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anymal.assemble import build
from anymal.bundle import kept_weights, weight_cache
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.errors import BundleError
from anymal.llm.merge_lora import MERGED_PRECISIONS

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

WORDS = torch.arange(9) * 7


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module", name="saved")
def _saved(
    model_recipe: Callable[..., "ModelRecipe"], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle in NF4 with LoRA that does something."""
    torch.manual_seed(3)
    assembled = build(model_recipe("imu", lora={"r": 2}, embed=True, precision="nf4"))
    for parameter in assembled.model.llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return save_bundle(assembled, tmp_path_factory.mktemp("bundles") / "one")


@pytest.fixture(name="bundle")
def _bundle(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "bundle")
    return tmp_path / "bundle"


def scores(bundle: Path, precision: str = "fp32") -> torch.Tensor:
    """Logits of some words, of a bundle that is loaded to answer."""
    llm = load_bundle(bundle, precision=precision, merge_lora=True).model.llm
    places = torch.arange(len(WORDS))[None]
    with torch.no_grad():
        return llm.head(llm.decode(llm.embed(WORDS)[None], positions=places)[0])


def kept() -> list[Path]:
    return [each.path for each in weight_cache.kept_files()]


@pytest.fixture(name="no_checkpoint")
def _no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, language models cannot be loaded from checkpoints."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the checkpoint was loaded")

    return lambda: monkeypatch.setattr("anymal.assemble.load_llm", refuse)


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


def test_facts_of_the_manifest_are_checked_with_kept_weights_too(bundle: Path) -> None:
    scores(bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["llm"]["embeddings"] = "0" * 64
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"llm\.embeddings differs"):
        scores(bundle)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def corrupt(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 4
    path.write_bytes(whole)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_others(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, corrupt, empty, of_others, a_folder])
def test_a_damaged_file_is_made_again_and_the_log_says_why(
    bundle: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    made = scores(bundle)
    (path,) = kept()
    damage(path)
    assert torch.equal(scores(bundle), made)
    said = [each.message for each in caplog.records if "made again" in each.message]
    assert len(said) == 1
    assert str(path) in said[0]
    if damage is not a_folder:
        caplog.clear()
        assert torch.equal(scores(bundle), made)
        assert not caplog.records


def test_weights_under_the_name_of_others_are_not_used(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = scores(bundle)
    (first,) = kept()
    scores(bundle, "bf16")
    (second,) = set(kept()) - {first}
    shutil.copyfile(second, first)
    assert torch.equal(scores(bundle), made)
    assert "was made from other files" in caplog.text


def test_full_disk_is_told_and_answers_are_the_same(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("anymal.durable.flush", full)
        made = scores(bundle)
    said = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "No space left" in said[0]
    assert list(weight_cache.weights_folder().iterdir()) == []
    assert torch.equal(scores(bundle), made)


def test_a_home_that_cannot_be_written_is_told(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = scores(bundle)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert torch.equal(scores(bundle), made)
    said = [each.message for each in caplog.records if "are not kept" in each.message]
    assert len(said) == 1


def test_what_is_over_the_bound_is_told(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(weight_cache.VARIABLE, "1000")
    scores(bundle)
    assert kept() == []
    assert f"{weight_cache.VARIABLE} allows 1,000" in caplog.text


def test_what_changed_while_it_was_read_is_not_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digests = iter(("a" * 64, "b" * 64))
    monkeypatch.setattr(kept_weights, "_digest", lambda *_: next(digests))
    scores(bundle)
    assert kept() == []
    assert "changed while it was read" in caplog.text


def test_0_bytes_switch_it_off(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scores(bundle)
    (path,) = kept()
    empty(path)  # which would be told
    monkeypatch.setenv(weight_cache.VARIABLE, "0")
    assert torch.equal(scores(bundle), made)
    assert path.stat().st_size == 0


def test_a_checkpoint_that_is_mapped_as_it_is_is_not_copied(
    model_recipe: Callable[..., "ModelRecipe"], tmp_path: Path
) -> None:
    bundle = save_bundle(build(model_recipe("imu")), tmp_path / "plain")
    scores(bundle)
    assert kept() == []


# --- files too large to be hashed at every start ------------------------------------------------


@pytest.fixture(name="large")
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_weights, "_WHOLE_BYTES", 8192)
    monkeypatch.setattr(kept_weights, "_PIECES", 2)
    monkeypatch.setattr(kept_weights, "_SETTLED_S", -1.0)


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
