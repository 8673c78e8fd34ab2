"""What is chosen for answering where nobody says, how that is told, and bundles loaded so."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

import anymal
from anymal.assemble import Assembled, build
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.collate import collate
from anymal.errors import BundleError, RecipeError
from anymal.serving.precision import load_to_answer, serving_precision
from tests.anymal.asking import next_logits

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

Talk = Callable[..., dict[str, Any]]
Bundle = SimpleNamespace


def logits(assembled: Assembled, record: dict[str, Any]) -> torch.Tensor:
    """Of the first token of an answer."""
    return next_logits(assembled, assembled.processor(record, generate=True))


@pytest.fixture(scope="module", name="bundle")
def _bundle(
    model_recipe: Callable[..., "ModelRecipe"], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A saved bundle whose LoRA does something, and the model that it was saved from."""
    torch.manual_seed(3)
    assembled = build(model_recipe(lora={"r": 2}, precision="nf4"))
    assembled.model.set_trainable(["llm.lora"])
    for parameter in assembled.model.llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    folder = save_bundle(assembled, tmp_path_factory.mktemp("bundles") / "one")
    return Bundle(assembled=assembled, folder=folder)


@pytest.mark.parametrize(
    ("trained", "device", "precision", "merge_lora", "chosen", "words"),
    [
        ("nf4", "cpu", None, None, ("fp32", True), "fp32, LoRA merged into its dequantised nf4"),
        ("fp32", "cpu", None, None, ("fp32", True), "fp32, LoRA merged into its weights"),
        ("nf4", "cpu", "nf4", None, ("nf4", False), "nf4, LoRA unmerged"),
        ("nf4", "cpu", "int8", None, ("int8", True), "int8, LoRA merged into its dequantised nf4"),
        ("nf4", "cpu", "int4", None, ("int4", True), "int4, LoRA merged into its dequantised nf4"),
        ("nf4", "cpu", "int8", False, ("int8", False), "int8, LoRA unmerged"),
        ("nf4", "cuda", "int8", None, ("int8", False), "int8, LoRA unmerged"),
        ("nf4", "cpu", None, False, ("fp32", False), "fp32, LoRA unmerged"),
        ("nf4", "cuda", None, None, ("nf4", False), "nf4, LoRA unmerged"),
        ("bf16", "cuda:0", None, None, ("bf16", True), "bf16, LoRA merged into its weights"),
        ("nf4", "cuda", "bf16", None, ("bf16", True), "bf16, LoRA merged into its dequantised nf4"),
        ("nf4", "cuda", "nf4", True, ("nf4", True), "nf4, LoRA merged"),  # refused when loaded
    ],
)
def test_choice(trained, device, precision, merge_lora, chosen, words) -> None:
    held = serving_precision(
        trained=trained, device=device, precision=precision, merge_lora=merge_lora
    )
    assert (held.precision, held.merge_lora) == chosen
    assert held.described(trained).startswith(words)


def test_loading_follows_and_tells_the_choice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="anymal"):
        held = load_to_answer("tiny").model.llm
        assert (held.precision, held.lora_parameters()) == ("fp32", {})
        held = load_to_answer("tiny", precision="nf4").model.llm
        assert held.precision == "nf4"
        assert held.lora_parameters()
    assert [record.getMessage() for record in caplog.records] == [
        "tiny: language model in fp32, LoRA merged into its dequantised nf4 weights",
        "tiny: language model in nf4, LoRA unmerged",
    ]


def test_assistants_are_loaded_to_answer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="anymal.serving.precision"):
        anymal.load("tiny").close()
        anymal.load("tiny", precision="fp32", merge_lora=False).close()
    assert [record.getMessage() for record in caplog.records] == [
        "tiny: language model in fp32, LoRA merged into its dequantised nf4 weights",
        "tiny: language model in fp32, LoRA unmerged",
    ]


# --- bundles loaded so ---------------------------------------------------------------------------


def test_lora_can_be_merged_for_answering(bundle: Bundle, talk: Talk) -> None:
    record = talk("What?", images=[(255, 0, 0)], motions=1)
    expected = logits(bundle.assembled, record)
    aligners = bundle.assembled.model.aligners.state_dict()
    for precision, largest in (("fp32", 1e-5), ("int8", 0.05), ("int4", 0.3)):
        loaded = load_bundle(bundle.folder, precision=precision, merge_lora=True)
        error = (logits(loaded, record) - expected).norm() / expected.norm()
        assert error < largest
        assert loaded.model.llm.lora_parameters() == {}
        assert loaded.model.llm.precision == precision
        for name, weight in loaded.model.aligners.state_dict().items():
            assert torch.equal(weight, aligners[name])


def test_lora_does_not_stay_beside_four_bits(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no LoRA can stay beside weights in int4; set merge_lor"):
        load_bundle(bundle.folder, precision="int4")


def test_lora_is_not_merged_into_rounded_weights(bundle: Bundle) -> None:
    with pytest.raises(RecipeError, match="cannot be merged into nf4 weights"):
        load_bundle(bundle.folder, merge_lora=True)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_a_merged_model_is_not_saved(bundle: Bundle, tmp_path: Path, precision: str) -> None:
    merged = load_bundle(bundle.folder, precision=precision, merge_lora=True)
    with pytest.raises(BundleError, match="loaded to answer"):
        save_bundle(merged, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_aligners_do_not_train_through_few_bits(bundle: Bundle, talk: Talk) -> None:
    loaded = load_bundle(bundle.folder, precision="int4", merge_lora=True)
    loaded.model.set_trainable(["aligners.image"])
    sample = loaded.processor(talk("What?", "Red.", images=[(255, 0, 0)]))
    with pytest.raises(RecipeError, match="no gradient passes through them"):
        loaded.model.loss(collate([sample], pad_id=0))
