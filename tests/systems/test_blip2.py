"""BLIP-2 (A13 of the methods) and InstructBLIP (A14), imported from their classes.

Works when: (A13) `Blip2QFormerModel` agrees within 1e-4 (tests/aligners/test_qformer.py holds the
module alone, here it is part of the class); (A14) `InstructBlipQFormerModel` agrees within 1e-4,
and two instructions about one picture give different soft tokens.
"""

import shutil
from pathlib import Path

import pytest
import torch

from anymal.bundle.load import describe, load_bundle
from anymal.collate import collate
from anymal.errors import BundleError
from anymal.published.importing import check_against, import_model
from anymal.published.probe import Probe, one_question
from tests.anymal.bundle.strangers import edit
from tests.systems.agreement import class_answer, imported, served_answer
from tests.systems.blip_checkpoints import QUERIES, save_blip2, save_instructblip

SAVE = {"blip2": save_blip2, "instructblip": save_instructblip}


@pytest.fixture(scope="module", params=list(SAVE), name="blip")
def _blip(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A checkpoint, and its bundle."""
    place = tmp_path_factory.mktemp(request.param)
    folder = SAVE[request.param](place / "blip")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


def test_it_is_served_as_its_class_generates(blip: tuple[Path, Path]) -> None:
    folder, bundle = blip
    said = served_answer(bundle, one_question("image"))
    answer = class_answer(folder, one_question("image"))
    assert said.strip() == answer.strip() != ""


def test_a_question_moves_the_soft_tokens_of_the_reader_alone(blip: tuple[Path, Path]) -> None:
    assembled = load_bundle(blip[1])
    model = assembled.model
    medium = one_question("image").media
    samples = [
        assembled.processor(
            Probe(modality="image", media=medium, questions=[words]).record(), generate=True
        )
        for words in ("What is it?", "Why?")
    ]
    made = []
    with torch.no_grad():
        for sample in samples:
            media = collate([sample], pad_id=0).media
            made.append(model.align(model.encode(media))["image"].values)
    assert made[0].shape == (1, QUERIES, model.llm.hidden_size)
    aligner = describe(blip[1]).recipe.modalities["image"].aligner
    if aligner.vocabulary is None:
        assert torch.equal(*made)
    else:
        assert (blip[1] / "aligners" / "image" / "tokenizer.json").is_file()
        assert not torch.allclose(*made, atol=1e-3)


@pytest.mark.slow
def test_they_stand_around_opt_too(tmp_path: Path) -> None:
    for name, save in SAVE.items():
        folder = save(tmp_path / name, opt=True)
        imported(folder, tmp_path / f"{name}.bundle")
        check_against(tmp_path / f"{name}.bundle", folder, tell=lambda _: None)


def test_what_no_qformer_has_is_refused(tmp_path: Path) -> None:
    folder = save_blip2(tmp_path / "blip", hidden_act="relu")
    with pytest.raises(BundleError, match="hidden_act relu"):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)


def test_a_checkpoint_without_a_word_for_pictures_is_refused(
    blip: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(blip[0], tmp_path / "blip"))
    edit(folder / "config.json", "image_token_index", to=None)
    with pytest.raises(BundleError, match="names no image_token_index"):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
