"""The language model of a bundle for other programs: an adapter of PEFT, a merged checkpoint."""

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import peft
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from anymal.assemble import build
from anymal.bundle.load import load_bundle
from anymal.bundle.manifest import MANIFEST, bundle_folder, read_manifest
from anymal.bundle.save import save_bundle
from anymal.errors import BundleError
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.lora import LoraOptions
from anymal.llm.plain import plain_model
from anymal.published import export_merged
from anymal.published.export import export_bundle
from anymal.sample import SLOT_ID
from tests.tiny import save_llm, save_tokenizer, talk

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]
IDS = torch.tensor([[0, 17, 230, 45, 61, 9, 118, 300]])


def logits(model: Any, **inputs: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**inputs).logits[0].float()
    return found


def ours(llm: LLM, embeddings: Tensor) -> Tensor:
    """Logits at every position of `[1, S, D_llm]`."""
    positions = torch.arange(embeddings.shape[1])[None]
    with torch.no_grad():
        return llm.head(llm.decode(embeddings, positions=positions)[0])


def with_lora(llm: LLM) -> LLM:
    """The model, its LoRA changed as training would."""
    torch.manual_seed(7)
    for parameter in llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    llm.use_lora(True)
    return llm


def save(recipe: "ModelRecipe", folder: Path) -> Path:
    """A bundle whose LoRA does something."""
    assembled = build(recipe)
    with_lora(assembled.model.llm)
    return save_bundle(assembled, folder)


@pytest.fixture(scope="module", name="bundles")
def _bundles(model_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a bundle of a precision, once."""
    folder, made = tmp_path_factory.mktemp("bundles"), {}

    def bundle(precision: str, **changes: Any) -> Path:
        name = f"{precision} {sorted(changes.items())}"
        if name not in made:
            lora = {"r": 4} | changes.pop("lora", {})
            recipe = model_recipe("imu", lora=lora, precision=precision, **changes)
            made[name] = save(recipe, folder / str(len(made)))
        return made[name]

    return bundle


# --- PEFT ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by peft
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_plain_peft_reads_the_adapter(
    bundles: Any, checkpoints: SimpleNamespace, tmp_path: Path, targets: Any
) -> None:
    bundle = bundles("fp32", lora={"targets": targets})
    written = export_bundle(bundle, tmp_path / "adapter", to="peft")
    assert str(checkpoints.llm) in written.holds
    config = peft.PeftConfig.from_pretrained(tmp_path / "adapter")
    assert config.base_model_name_or_path == str(checkpoints.llm)
    with without_progress():
        base = AutoModelForCausalLM.from_pretrained(config.base_model_name_or_path)
    bare = logits(base, input_ids=IDS)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    llm = load_bundle(bundle).model.llm
    llm.use_lora(True)
    expected = ours(llm, llm.embed(IDS[0])[None])
    assert float((bare - expected).abs().max()) > 0.1
    torch.testing.assert_close(logits(theirs, input_ids=IDS), expected, rtol=0, atol=1e-5)
    embeddings = torch.randn(1, 7, llm.hidden_size)
    found = logits(theirs, inputs_embeds=embeddings)
    torch.testing.assert_close(found, ours(llm, embeddings), rtol=0, atol=1e-5)


def test_an_adapter_of_a_bundle_with_its_llm_inside_names_that_copy(
    bundles: Any, tmp_path: Path
) -> None:
    bundle = bundles("fp32", embed=True)
    export_bundle(bundle, tmp_path / "adapter", to="peft")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(bundle / "llm")


def test_without_lora_there_is_no_adapter(model_recipe: MakeRecipe, tmp_path: Path) -> None:
    bundle = save_bundle(build(model_recipe("imu")), tmp_path / "bundle")
    with pytest.raises(BundleError, match="has no LoRA, so that there is no adapter to write"):
        export_bundle(bundle, tmp_path / "adapter", to="peft")
    assert not (tmp_path / "adapter").exists()


def test_an_adapter_that_is_not_the_bundles_is_refused(bundles: Any, tmp_path: Path) -> None:
    bundle = bundles("fp32", lora={"r": 3})
    config = bundle / "lora" / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 3', '"r": 5'))
    with pytest.raises(BundleError, match=r"lora\.r differs: .* made with 3, but 5 is here"):
        export_bundle(bundle, tmp_path / "adapter", to="peft")


# --- merged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_the_merged_checkpoint_is_the_trained_function(
    bundles: Any, checkpoints: SimpleNamespace, tmp_path: Path, precision: str
) -> None:
    bundle = bundles(precision)
    export_bundle(bundle, tmp_path / "merged", to="merged")
    with without_progress():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    llm = load_bundle(bundle).model.llm
    llm.use_lora(True)
    embeddings = llm.embed(IDS[0])[None]
    expected = ours(llm, embeddings)
    error = (logits(theirs, input_ids=IDS) - expected).norm() / expected.norm()
    assert error < 0.01  # each weight is rounded to 8 bits of mantissa, once
    llm.use_lora(False)
    assert (ours(llm, embeddings) - expected).norm() / expected.norm() > 0.2
    rounded = load_bundle(bundle, precision="bf16", merge_lora=True).model.llm
    embeddings = torch.randn(1, 7, llm.hidden_size)
    with without_progress():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    found = logits(theirs, inputs_embeds=embeddings.bfloat16())
    assert torch.equal(found, ours(rounded, embeddings.bfloat16()))


def test_it_has_the_names_and_the_configuration_of_its_class(
    bundles: Any, checkpoints: SimpleNamespace, tmp_path: Path
) -> None:
    export_bundle(bundles("nf4"), tmp_path / "merged", to="merged")
    names, dtypes = [], set()
    for folder in (tmp_path / "merged", checkpoints.llm):
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            names.append(set(file.keys()))
            dtypes.add(file.get_tensor("lm_head.weight").dtype)
    assert names[0] == names[1]
    assert dtypes == {torch.bfloat16, torch.float32}
    given = json.loads((checkpoints.llm / "config.json").read_text())
    found = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert found == given | {"dtype": "bfloat16"}
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "merged").iterdir()} == {0o644}


def test_a_large_model_is_written_in_shards(
    bundles: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_merged, "SHARD_SIZE", "100KB")
    export_bundle(bundles("fp32"), tmp_path / "merged", to="merged")
    index = json.loads((tmp_path / "merged" / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 1
    assert shards == {path.name for path in (tmp_path / "merged").glob("*.safetensors")}
    with without_progress():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.isfinite(logits(theirs, input_ids=IDS)).all()


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")  # peft then sets it
def test_layers_that_hold_their_weights_transposed_stay_so(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "gpt2")
    sizes = {
        "bos_token_id": 0,
        "eos_token_id": 1,
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 64,
    }
    torch.manual_seed(0)
    with without_progress():
        config = GPT2Config(**sizes, vocab_size=320, initializer_range=0.3)
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    options = LoraOptions(r=2, targets=["c_attn", "c_proj"])
    llm = with_lora(load_llm(str(tmp_path / "gpt2"), precision="fp32", lora=options))
    embeddings = torch.randn(1, 7, 16)
    expected = ours(llm, embeddings)
    plain_model(llm, dtype=torch.float32).save_pretrained(tmp_path / "plain")
    with without_progress():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    found = logits(theirs, inputs_embeds=embeddings)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_a_head_that_lora_parted_from_its_table_is_written(tmp_path: Path) -> None:
    with without_progress():
        save_llm(tmp_path / "tied", tie_word_embeddings=True)
    options = LoraOptions(r=2, targets=["embed_tokens", "q_proj"])
    llm = with_lora(load_llm(str(tmp_path / "tied"), precision="fp32", lora=options))
    with torch.no_grad():
        expected = ours(llm, llm.embed(IDS[0])[None])
    plain = plain_model(llm, dtype=torch.float32)
    plain.save_pretrained(tmp_path / "plain")
    with without_progress():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    torch.testing.assert_close(logits(theirs, input_ids=IDS), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("template", ["llama2", "vicuna", "chatml", "base", "instructblip"])
def test_its_chat_template_writes_what_the_bundle_read(
    model_recipe: MakeRecipe, tmp_path: Path, template: str
) -> None:
    assembled = build(model_recipe("imu", template=template))
    bundle = save_bundle(assembled, tmp_path / "bundle")
    export_bundle(bundle, tmp_path / "merged", to="merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    record = talk(" What colour is it? ", " It is red. ")
    record["messages"].append({"role": "user", "content": "Is it?\n"})
    found = tokenizer.apply_chat_template(record["messages"], add_generation_prompt=True)
    expected = assembled.processor(record, generate=True).ids
    assert SLOT_ID not in expected
    assert found["input_ids"] == expected.tolist()
    config = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    ends = config["eos_token_id"]
    assert {*(ends if isinstance(ends, list) else [ends])} == assembled.model.stop_ids


# --- the folder ---------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["peft", "merged"])
def test_a_folder_with_anything_in_it_is_left_alone(bundles: Any, tmp_path: Path, to: str) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="is not empty; give a folder that is new or empty"):
        export_bundle(bundles("fp32"), tmp_path, to=to)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(BundleError, match=r"thesis\.txt' is not a folder"):
        export_bundle(bundles("fp32"), tmp_path / "thesis.txt" / "new", to=to)


def test_nothing_is_written_into_the_bundle(bundles: Any) -> None:
    bundle = bundles("fp32")
    with pytest.raises(BundleError, match=r"is inside the bundle .*; give a folder elsewhere"):
        export_bundle(bundle, bundle / "adapter", to="peft")
    load_bundle(bundle)


def test_an_export_that_fails_leaves_nothing(
    bundles: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(model: Any, folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export_merged, "write_model", full)
    with pytest.raises(BundleError, match=r"out' cannot be written \(No space left.*free space"):
        export_bundle(bundles("fp32"), tmp_path / "out", to="merged")
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_and_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="unknown format 'gguf'; known: hf, merged, peft"):
        export_bundle("tiny", tmp_path / "out", to="gguf")
    with pytest.raises(BundleError, match="is not a bundle folder"):
        export_bundle(tmp_path / "no", tmp_path / "out", to="merged")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle_writes_nothing(bundles: Any, tmp_path: Path) -> None:
    bundle = bundles("fp32", lora={"r": 6})
    manifest = bundle_folder(bundle) / MANIFEST
    digest = read_manifest(bundle).llm.embeddings
    manifest.write_text(re.sub(digest, "0" * 64, manifest.read_text()))
    with pytest.raises(BundleError, match=r"llm\.embeddings differs"):
        export_bundle(bundle, tmp_path / "out", to="merged")
    assert list(tmp_path.iterdir()) == []
