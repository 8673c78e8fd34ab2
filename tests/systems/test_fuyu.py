"""Fuyu (A9 of the methods): patches of pixels in the language model, without an encoder.

Works when: hidden states of a tiny configuration equal those of `FuyuModel` within 1e-4, and a
picture of 61 x 91 pixels gives 3 rows of 4 patches, and 15 ids before `<s>`.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import FuyuForCausalLM

from anymal.assemble import Assembled
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.save import save_bundle
from anymal.collate import collate
from anymal.errors import BundleError
from anymal.published.base import Importer, Published
from anymal.published.importing import import_model
from anymal.published.probe import Probe, one_question
from anymal.published.source import checked_source
from tests.anymal.bundle.strangers import edit
from tests.systems.agreement import class_answer, imported, served_answer
from tests.systems.fuyu_checkpoints import save_fuyu


@pytest.fixture(scope="module", name="fuyu")
def _fuyu(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and its bundle."""
    place = tmp_path_factory.mktemp("fuyu")
    folder = save_fuyu(place / "fuyu")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


@pytest.fixture(scope="module", name="loaded")
def _loaded(fuyu: tuple[Path, Path]) -> tuple[Importer, Published, Assembled]:
    """How the class is asked, the class, and the bundle."""
    importer = checked_source(fuyu[0]).importer
    return importer, importer.load(fuyu[0]), load_bundle(fuyu[1])


def about(height: int, width: int) -> Probe:
    """A question about a picture of some size."""
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Probe(modality="image", media=[picture], questions=["What is it?"])


# --- works when ---------------------------------------------------------------------------------


# Smaller than the largest picture, higher, wider, and both.
@pytest.mark.parametrize("size", [(20, 37), (100, 30), (9, 200), (131, 170)])
@torch.no_grad()
def test_hidden_states_are_those_of_the_class(
    loaded: tuple[Importer, Published, Assembled], size: tuple[int, int]
) -> None:
    importer, published, assembled = loaded
    inputs = dict(importer.inputs(published, about(*size)))
    theirs = published.model.model(**inputs).last_hidden_state[0]
    model = assembled.model
    sample = assembled.processor(about(*size).record(), generate=True)
    batch = collate([sample], pad_id=0)
    ours = model.decode(model.fuse(batch, model.align(model.encode(batch.media))), batch)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_the_picture_of_the_methods(tmp_path: Path) -> None:
    folder = save_fuyu(tmp_path / "fuyu", patch=30)
    imported(folder, tmp_path / "bundle")
    processor = load_bundle(tmp_path / "bundle").processor
    sample = processor(about(61, 91).record(), generate=True)
    [slot] = sample.slots
    assert (slot.start, slot.length) == (0, 15)
    assert sample.ids[15] == processor.tokenizer.bos_token_id
    layout = sample.media["image"][0].layout
    assert layout is not None
    assert (layout.rows, layout.columns) == (3, 4)


# --- every imported model -----------------------------------------------------------------------


def test_it_is_served_as_its_class_generates(fuyu: tuple[Path, Path]) -> None:
    folder, bundle = fuyu
    said = served_answer(bundle, about(131, 170))
    assert said.strip() == class_answer(folder, about(131, 170)).strip() != ""


def test_the_bundle_holds_no_tower(fuyu: tuple[Path, Path], tmp_path: Path) -> None:
    assert not [*(fuyu[1] / "encoders").rglob("*.safetensors")]
    again = save_bundle(load_bundle(fuyu[1]), tmp_path / "again")
    first, second = (load_bundle(each) for each in (fuyu[1], again))
    record = one_question("image").record()
    with torch.no_grad():
        told = [
            each.model.align(
                each.model.encode(collate([each.processor(record, generate=True)], pad_id=0).media)
            )["image"].values
            for each in (first, second)
        ]
    assert torch.equal(*told)


def test_the_word_that_ends_a_row_is_the_class_own(fuyu: tuple[Path, Path]) -> None:
    folder, bundle = fuyu
    theirs: Any = FuyuForCausalLM.from_pretrained(folder)
    aligner: Any = load_bundle(bundle).model.aligners["image"]
    processor = checked_source(folder).importer.load(folder).processor
    row = theirs.get_input_embeddings().weight[processor.image_newline_id]
    assert torch.equal(aligner.newline, row)
    assert describe(bundle).recipe.modalities["image"].encoder.kind == "pixels"


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ({"height": 8 * 10**6, "width": 8 * 10**6}, "4096 are allowed"),
        ({"height": 60, "width": 64}, "must be whole patches"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    fuyu: tuple[Path, Path], tmp_path: Path, size: dict[str, int], why: str
) -> None:
    folder = Path(shutil.copytree(fuyu[0], tmp_path / "fuyu"))
    edit(folder / "processor_config.json", "image_processor", "size", to=size)
    with pytest.raises(BundleError, match=why):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
    assert [*tmp_path.iterdir()] == [folder]
