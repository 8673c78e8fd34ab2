"""LLaVA and LLaVA-1.5 (A4 and A5 of the methods): what an imported model computes, and says.

Works when: (A4) spliced embeddings equal those of `LlavaForConditionalGeneration` within 1e-6, and
stage 1 leaves gradients on exactly the projector's weight and bias; (A5) the projector's output
equals `LlavaMultiModalProjector` within 1e-6, and full logits agree within 1e-4.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    Qwen2Config,
    SiglipVisionConfig,
)

from anymal.bundle.load import describe, load_bundle
from anymal.collate import collate
from anymal.published.probe import Probe, two_turns
from encoders.base import Features
from tests.systems.agreement import check_served, class_answer, imported, served_answer
from tests.systems.checkpoints import PATCH, SIDE, save_llava
from tests.systems.original import as_class, save_original
from tests.tiny import BLOCKS

RECORD = two_turns("image").record()
LEARNT = {"messages": [*RECORD["messages"], {"role": "assistant", "content": "It is darker."}]}


@pytest.fixture(scope="module", name="linear")
def _linear(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint of the original layout with one linear layer, and its bundle."""
    place = tmp_path_factory.mktemp("linear")
    folder = save_original(place / "llava", projector="linear")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


@pytest.fixture(scope="module", name="llava")
def _llava(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint of transformers, and its bundle."""
    place = tmp_path_factory.mktemp("llava")
    folder = save_llava(place / "llava")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


def read_by(model: Any, inputs: Any) -> torch.Tensor:
    """What the language model of the class is given, `[T, D_llm]`."""
    seen: list[torch.Tensor] = []
    hook = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        model(**inputs)
    hook.remove()
    return seen[0][0]


# --- works when (A4) ----------------------------------------------------------------------------


def test_spliced_embeddings_are_those_of_the_class(
    linear: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, bundle = linear
    assembled = load_bundle(bundle)
    sample = assembled.processor(RECORD, generate=True)
    batch = collate([sample], pad_id=0)
    model = assembled.model
    with torch.no_grad():
        ours = model.fuse(batch, model.align(model.encode(batch.media)))[0]
    whole = as_class(folder, tmp_path / "class")
    processor = LlavaProcessor.from_pretrained(whole)
    marker = processor.tokenizer.pad_token_id
    pictures = two_turns("image").arguments()["images"]
    inputs = {
        "input_ids": sample.ids.masked_fill(sample.ids < 0, marker)[None],
        "pixel_values": processor.image_processor(pictures, return_tensors="pt")["pixel_values"],
    }
    theirs = read_by(LlavaForConditionalGeneration.from_pretrained(whole).eval(), inputs)
    assert float((ours - theirs).abs().max()) <= 1e-6


def test_stage_1_leaves_gradients_on_the_projector_alone(linear: tuple[Path, Path]) -> None:
    assembled = load_bundle(linear[1])
    model = assembled.model
    model.set_trainable(["aligners.image"])
    model.loss(collate([assembled.processor(LEARNT)], pad_id=0)).total.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"aligners.image.project.weight", "aligners.image.project.bias"}
    assert all(p.grad.abs().max() > 0 for p in model.parameters() if p.grad is not None)


# --- works when (A5) ----------------------------------------------------------------------------


def test_the_projector_computes_what_the_class_does(llava: tuple[Path, Path]) -> None:
    folder, bundle = llava
    values = torch.randn(2, 16, BLOCKS["hidden_size"])
    mask = torch.ones(2, 16, dtype=torch.bool)
    features = Features(values=values, mask=mask, steps=torch.zeros(2, 16, dtype=torch.int64))
    theirs: Any = LlavaForConditionalGeneration.from_pretrained(folder).model.multi_modal_projector
    ours = load_bundle(bundle).model.aligners["image"]
    with torch.no_grad():
        assert float((ours(features).values - theirs(values)).abs().max()) <= 1e-6


VARIANTS: dict[str, dict[str, Any]] = {
    "bf16, sharded": {"dtype": torch.bfloat16, "options": {"max_shard_size": "100KB"}},
    "tied": {"text_changes": {"tie_word_embeddings": True}, "tie_word_embeddings": True},
    "fp16": {"dtype": torch.float16},
    "class token": {"vision_feature_select_strategy": "full"},
    "Mistral": {"text": MistralConfig, "text_changes": {"sliding_window": 16}},
    "Qwen2": {"text": Qwen2Config, "multimodal_projector_bias": False, "vision_feature_layer": 1},
    "SigLIP": {
        "vision": SiglipVisionConfig(**BLOCKS, image_size=SIDE, patch_size=PATCH),
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
    },
}
EVERY_TIME = {"bf16, sharded", "tied"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in EVERY_TIME else pytest.mark.slow) for name in VARIANTS],
)
def test_logits_are_those_of_the_class(tmp_path: Path, name: str) -> None:
    options = VARIANTS[name]
    folder = save_llava(tmp_path / "llava", **options)
    imported(folder, tmp_path / "bundle")
    is_half = options.get("dtype", torch.float32) != torch.float32
    assert describe(tmp_path / "bundle").recipe.llm.precision == ("bf16" if is_half else "fp32")


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bfloat16,
        pytest.param(torch.float32, marks=pytest.mark.slow),
        pytest.param(torch.float16, marks=pytest.mark.slow),
    ],
)
def test_the_soft_check_compares_words_at_the_saved_precision(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = save_llava(tmp_path / "llava", dtype=dtype)
    facts = imported(folder, tmp_path / "bundle", check="soft")
    assert facts.check == "soft"
    assert facts.positions == 16


def test_a_processor_that_does_not_count_soft_tokens_learns_it_from_the_model(
    tmp_path: Path,
) -> None:
    folder = save_llava(tmp_path / "llava")
    settings = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").unlink()  # as llava-hf published it at first
    old = folder / "preprocessor_config.json"
    old.write_text(json.dumps(settings["image_processor"]))
    imported(folder, tmp_path / "bundle")


# --- every imported model -----------------------------------------------------------------------


def test_it_is_served_as_its_class_generates(llava: tuple[Path, Path]) -> None:
    check_served(*llava)


def test_what_it_says_depends_on_the_pictures(llava: tuple[Path, Path]) -> None:
    own, other = two_turns("image"), two_turns("image")
    turned = Probe(modality="image", media=[picture[::-1] // 2 for picture in other.media])
    said = [served_answer(llava[1], probe) for probe in (own, turned)]
    assert said[0] != said[1]
    assert said[1].strip() == class_answer(llava[0], turned).strip()
