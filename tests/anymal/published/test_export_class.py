"""A bundle as a class of transformers: the same function, and the same bundle when imported."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, SiglipVisionConfig

from anymal.assemble import Assembled, build
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.manifest import ALIGNERS, read_weights
from anymal.bundle.save import save_bundle
from anymal.collate import collate
from anymal.errors import BundleError
from anymal.llm.load import without_progress
from anymal.published import export_class
from anymal.published.export import export_bundle
from anymal.published.export_llava import LLAVA
from anymal.published.importing import import_model
from anymal.published.probe import two_turns
from anymal.recipe.schema import ModelRecipe
from tests.systems.checkpoints import SIDE, save_llava
from tests.systems.sounding_checkpoints import save_voxtral
from tests.systems.tiled_checkpoints import save_llava_next
from tests.tiny import BLOCKS, PIXELS, model_section

# Of pictures that LLaVA can hold.
HELD = {"kind": "projection", "num_tokens": None, "norm": "none"}
UNDER_ANOTHER_NAME = {"kind": "mlp", "num_tokens": None, "normalise": False}
TILES = {"kind": "tiles", "grid": [[PIXELS, 2 * PIXELS], [2 * PIXELS, 2 * PIXELS]]}
LIMIT = 1e-4


def said_by_class(folder: Path) -> Tensor:
    """Logits `[T, V]` of a talk about two pictures, by the class and its own processor."""
    probe = two_turns("image")
    with without_progress():
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        processor = AutoProcessor.from_pretrained(folder)
    text = processor.apply_chat_template(probe.messages(), add_generation_prompt=True)
    inputs = processor(text=[text], return_tensors="pt", **probe.arguments())
    with torch.no_grad():
        logits: Tensor = model(**inputs).logits[0]
    return logits


def said_by(assembled: Assembled) -> Tensor:
    """The same by a bundle, as it was trained."""
    model = assembled.model
    model.llm.use_lora(True)
    sample = assembled.processor(two_turns("image").record(), generate=True)
    batch = collate([sample], pad_id=0)
    with torch.no_grad():
        embeddings = model.fuse(batch, model.align(model.encode(batch.media)))
        return model.llm.head(model.decode(embeddings, batch)[0])


def check_same(bundle: Path, folder: Path) -> None:
    """The class says what the bundle says; words that the bundle lacks are never the likeliest."""
    ours, theirs = said_by(load_bundle(bundle)), said_by_class(folder)
    num_words = ours.shape[1]
    torch.testing.assert_close(theirs[:, :num_words], ours, rtol=0, atol=LIMIT)
    assert int(theirs.argmax(dim=1).max()) < num_words


def digests(bundle: Path) -> tuple[Any, ...]:
    """What is the same of two bundles that compute the same."""
    manifest = describe(bundle)
    fingerprints = {name: facts.fingerprint for name, facts in manifest.modalities.items()}
    aligners = {name: facts.aligner for name, facts in manifest.modalities.items()}
    llm = manifest.llm
    return llm.embeddings, llm.tokenizer, llm.template, fingerprints, aligners


def check_round_trip(published: Path, folder: Path, **options: Any) -> None:
    """A checkpoint is imported, exported, and imported again."""
    import_model(published, folder / "one", tell=lambda _: None, **options)
    export_bundle(folder / "one", folder / "out", to="hf")
    import_model(folder / "out", folder / "two", tell=lambda _: None)
    assert digests(folder / "one") == digests(folder / "two")
    first, second = (read_weights(folder / name / ALIGNERS) for name in ("one", "two"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(name="saved")
def _saved(checkpoints: SimpleNamespace, tmp_path: Path) -> Callable[..., Path]:
    """Saves a bundle of random weights."""

    def save(
        *modalities: str,
        aligner: dict[str, Any] | None = None,
        encoder: dict[str, Any] | None = None,
        media_first: bool = False,
        extra_tokens: list[str] | None = None,
        **changes: Any,
    ) -> Path:
        section = model_section(
            checkpoints, modalities or ("image",), aligner=aligner or HELD, **changes
        )
        for part in section["modalities"].values():
            part["encoder"] |= encoder or {}
            part["prefix"] = "".join(extra_tokens or ['A "picture": '])
        section |= {"media_first": media_first, "extra_tokens": extra_tokens}
        torch.manual_seed(0)
        assembled = build(ModelRecipe.model_validate(section))
        for parameter in assembled.model.llm.lora_parameters().values():
            torch.nn.init.normal_(parameter, std=0.1)
        for parameter in () if extra_tokens is None else assembled.model.extra_tokens.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return save_bundle(assembled, tmp_path / "bundle")

    return save


def test_an_imported_model_comes_back(tmp_path: Path) -> None:
    published = save_llava(tmp_path / "llava", vision_feature_layer=-1)
    check_round_trip(published, tmp_path)
    check_same(tmp_path / "one", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    given = json.loads((published / "config.json").read_text())
    sequence = {"image_seq_length": (SIDE // 8) ** 2}
    del config["text_config"]["attention_bias"], config["text_config"]["mlp_bias"]
    for part in ("text_config", "vision_config"):
        assert config[part].items() <= given[part].items()
        config[part] = given[part]
    assert config == given | sequence


@pytest.mark.slow
def test_so_does_one_without_a_class_token_in_bfloat16(tmp_path: Path) -> None:
    tower = SiglipVisionConfig(**BLOCKS, image_size=SIDE, patch_size=8)
    published = save_llava(
        tmp_path / "llava",
        vision=tower,
        dtype=torch.bfloat16,
        vision_feature_select_strategy="full",
        multimodal_projector_bias=False,
        projector_hidden_act="silu",
    )
    processor = published / "processor_config.json"
    processor.write_text(
        processor.read_text().replace(
            '"num_additional_image_tokens": 1', '"num_additional_image_tokens": 0'
        )
    )
    check_round_trip(published, tmp_path)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_so_does_one_that_cuts_pictures(tmp_path: Path) -> None:
    check_round_trip(save_llava_next(tmp_path / "next"), tmp_path)
    check_same(tmp_path / "one", tmp_path / "out")


def test_so_does_one_that_hears(tmp_path: Path) -> None:
    check_round_trip(save_voxtral(tmp_path / "voxtral"), tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path / "out")
    assert processor.feature_extractor.chunk_length == 1
    assert processor.tokenizer.convert_tokens_to_ids("[AUDIO]") == processor.audio_token_id


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": {"r": 4}, "precision": "nf4", "template": "vicuna"},
        {
            "media_first": True,
            "aligner": HELD | {"start": "plain", "bias": False},
            "encoder": {"drop_cls": False, "layer": 1},
            "template": "chatml",
        },
        {"aligner": UNDER_ANOTHER_NAME, "template": "plain"},
        pytest.param(
            {"encoder": TILES, "aligner": HELD | {"newline": True}, "lora": {"r": 4}},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["lora beside nf4", "media first, class token kept", "under another name", "tiles"],
)
def test_what_was_trained_here_says_the_same_there(
    saved: Callable[..., Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    bundle = saved(**changes)
    written = export_bundle(bundle, tmp_path / "out", to="hf")
    name = "LlavaNext" if "encoder" in changes and "grid" in changes["encoder"] else "Llava"
    assert written.holds.startswith(f"{name}ForConditionalGeneration in float32")
    check_same(bundle, tmp_path / "out")


def test_extra_words_beside_bfloat16_keep_their_rows(saved: Callable[..., Path]) -> None:
    bundle = saved(precision="bf16", extra_tokens=["<x>"])
    written = export_bundle(bundle, bundle.parent / "out", to="hf")
    assert written.holds.startswith("LlavaForConditionalGeneration in float32")


@pytest.mark.parametrize(
    ("modalities", "changes", "told"),
    [
        (("image", "imu"), {}, "it has no place for modalities.imu"),
        (("imu",), {}, "it has no place for modalities.imu"),
        (
            ("image",),
            {"aligner": HELD | {"num_tokens": 32}},
            "modalities.image.aligner.num_tokens is 32, and it has null",
        ),
        (
            ("image",),
            {"aligner": HELD | {"norm": "layer", "depth": 1}, "encoder": {"pool": 1}},
            "modalities.image.encoder.pool is 1, and it has null; "
            "modalities.image.aligner.depth is 1, and it has 2; "
            "modalities.image.aligner.norm is layer, and it has none",
        ),
        (
            ("image",),
            {"encoder": TILES | {"unpad": "floor"}, "aligner": HELD | {"newline": True}},
            "LlavaNextForConditionalGeneration: modalities.image.encoder.unpad is floor",
        ),
        (
            ("image",),
            {"encoder": TILES | {"drop_cls": False}, "aligner": HELD | {"newline": True}},
            "no place in its map of tiles for the 1 features before the patches",
        ),
        (
            ("audio",),
            {},
            "VoxtralForConditionalGeneration: modalities.audio.encoder.silence is null, and it has "
            "kept",
        ),
    ],
)
def test_what_no_class_holds_is_named(
    saved: Callable[..., Path],
    tmp_path: Path,
    modalities: tuple[str, ...],
    changes: dict[str, Any],
    told: str,
) -> None:
    bundle = saved(*modalities, **changes)
    with pytest.raises(BundleError) as error:
        export_bundle(bundle, tmp_path / "out", to="hf")
    assert told in str(error.value)
    assert "--to merged" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_built_in_model_is_refused_by_all_that_it_has_beside_a_class(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no place for modalities\.audio.*\.imu.*\.video"):
        export_bundle("tiny", tmp_path / "out", to="hf")
    assert list(tmp_path.iterdir()) == []


def test_kinds_are_compared_before_anything_of_them_is_imported(
    checkpoints: SimpleNamespace,
) -> None:
    section = model_section(checkpoints, ("image",))
    section["modalities"]["image"]["encoder"]["kind"] = "nowhere:thing"
    misfit = LLAVA.misfit(ModelRecipe.model_validate(section), llm_width=64)
    assert misfit is not None
    assert misfit.keys == [
        "modalities.image.encoder.kind is nowhere:thing, and it has vision",
        "modalities.image.aligner.kind is perceiver, and it has projection",
    ]


def test_what_says_something_else_is_not_kept(
    saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export_class.write_model

    def damaged(model: Any, folder: Path) -> None:
        model.model.multi_modal_projector.linear_1.weight.data[0] += 1
        write(model, folder)

    monkeypatch.setattr(export_class, "write_model", damaged)
    with pytest.raises(BundleError, match="says something else than the bundle: soft tokens"):
        export_bundle(saved(), tmp_path / "out", to="hf")
    assert not (tmp_path / "out").exists()
