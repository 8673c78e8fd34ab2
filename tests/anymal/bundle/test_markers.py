"""A bundle records which text of the chat template stands for a medium; joined bundles know all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import AutoTokenizer

from anymal.assemble import build
from anymal.bundle.extend import extended
from anymal.bundle.join import join_bundles
from anymal.bundle.load import load_bundle
from anymal.bundle.manifest import read_manifest
from anymal.bundle.save import save_bundle
from anymal.errors import BundleError
from anymal.recipe.schema import Recipe

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]
# Takes contents as lists of parts alone, and writes a word for an image.
PARTS_JINJA = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% for c in m.content %}"
    "{% if c.type == 'image' %}{{ '<image>\n' }}{% elif c.type == 'text' %}{{ c.text }}"
    "{% endif %}{% endfor %}{{ '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(name="llm")
def _llm(checkpoints: SimpleNamespace, tmp_path: Path) -> Path:
    """A language model with such a template."""
    folder = shutil.copytree(checkpoints.llm, tmp_path / "llm")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = PARTS_JINJA
    tokenizer.save_pretrained(folder)
    return Path(folder)


@pytest.fixture(name="save")
def _save(model_recipe: MakeRecipe, llm: Path, tmp_path: Path) -> Callable[..., Path]:
    def save(name: str, modality: str, **changes: Any) -> Path:
        torch.manual_seed(0)
        recipe = model_recipe(modality, embed=True, path=str(llm), template="tokenizer", **changes)
        return save_bundle(build(recipe), tmp_path / name)

    return save


def test_markers_that_were_found_are_recorded_and_joined(
    save: Callable[..., Path], talk: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    seeing, moving = save("seeing", "image"), save("moving", "imu")
    assert read_manifest(seeing).recipe.llm.markers == {"image": "<image>"}
    joined = load_bundle(join_bundles([seeing, moving], tmp_path / "joined"))
    assert joined.model_recipe.llm.markers == {"image": "<image>"}
    record = talk("Which?", images=[(255, 0, 0)])
    alone = load_bundle(seeing).processor(record, generate=True)
    assert torch.equal(joined.processor(record, generate=True).ids, alone.ids)


def test_a_bundle_from_before_there_were_markers_has_none(
    save: Callable[..., Path],
) -> None:
    folder = save("old", "imu")
    path = folder / "bundle.json"
    written = json.loads(path.read_text())
    assert written["recipe"]["llm"].pop("markers") == {}
    path.write_text(json.dumps(written))
    assert read_manifest(folder).recipe.llm.markers == {}
    assert load_bundle(folder).processor.template.markers == {}


def test_a_shared_modality_under_another_marker_is_refused(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    parts = [save("marked", "image"), save("plain", "image", markers={})]
    with pytest.raises(BundleError, match="has an aligner for image, and a bundle before it"):
        join_bundles(parts, tmp_path / "joined")


def test_a_marker_for_a_new_sense_leaves_those_of_the_others(save: Callable[..., Path]) -> None:
    seeing = save("seeing", "image")
    recipe = Recipe.model_validate(
        {
            "run_dir": "runs/x",
            "model": {
                "start_from": str(seeing),
                "llm": {"path": "bundle:llm", "markers": {"audio": "<sound>"}},
                "modalities": {"audio": {"encoder": {"kind": "whisper", "path": "some/whisper"}}},
            },
            "stages": [
                {
                    **{"name": "align", "kind": "align", "steps": 1, "batch_size": 1, "lr": 1e-3},
                    "data": [{"manifest": "rows.jsonl"}],
                }
            ],
        }
    )
    assert extended(recipe).model.llm.markers == {"image": "<image>", "audio": "<sound>"}
