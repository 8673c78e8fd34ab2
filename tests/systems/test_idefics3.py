"""Idefics3: whole pictures, squares of patches in one, as its class computes without tiles."""

from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from anymal.bundle.load import load_bundle
from anymal.errors import BundleError
from anymal.published.importing import import_model
from anymal.published.probe import two_turns
from tests.anymal.bundle.strangers import edit
from tests.systems.agreement import check_served, imported
from tests.systems.seeing_checkpoints import save_idefics3


def test_it_is_served_as_its_class_generates_from_whole_pictures(tmp_path: Path) -> None:
    folder = save_idefics3(tmp_path / "idefics3")
    imported(folder, tmp_path / "bundle")
    check_served(folder, tmp_path / "bundle")


def test_larger_squares_and_a_note_on_tiles(tmp_path: Path) -> None:
    told: list[str] = []
    folder = save_idefics3(tmp_path / "idefics3", seq=1, scale_factor=4)
    facts = import_model(folder, tmp_path / "bundle", tell=told.append)
    assert max(facts.soft_tokens, facts.logits) < 1e-4
    assert any(line.startswith("note: pictures are read whole, as with") for line in told)


def test_a_start_that_tokeniser_and_template_both_write_stands_once(tmp_path: Path) -> None:
    folder = save_idefics3(tmp_path / "idefics3")  # Llama 3's tokeniser and the template do
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token = "<|begin_of_text|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A",
        special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id)],
    )
    tokenizer.save_pretrained(folder)
    imported(folder, tmp_path / "bundle")
    ids = load_bundle(tmp_path / "bundle").processor(two_turns("image").record()).ids
    assert (ids == tokenizer.bos_token_id).sum() == 1


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("max_image_size", "the model takes squares of 32 pixels"),
        ("size", "at most 4096 pixels a side are allowed"),
    ],
)
def test_pictures_beyond_measure_are_refused(tmp_path: Path, key: str, why: str) -> None:
    folder = save_idefics3(tmp_path / "idefics3")
    size = {"longest_edge": 10**5}
    edit(folder / "processor_config.json", "image_processor", key, to=size)
    with pytest.raises(BundleError, match=why):
        imported(folder, tmp_path / "bundle")
