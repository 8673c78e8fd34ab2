"""Pictures of any size in a whole model, as tiles and as pixels: batched, cached, saved, asked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from anymal.assemble import Assembled, build
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.collate import Batch, collate
from anymal.errors import RecipeError, TooLong
from anymal.features.store import open_features
from anymal.features.writer import FeatureWriter
from anymal.llm.packing import allow_packing
from anymal.plan.run import measure_parts
from anymal.published.probe import Probe
from encoders.base import stack_inputs
from tests.anymal.asking import answers
from tests.tiny import PIXELS

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]
ALIGNER = {"kind": "projection", "num_tokens": None, "depth": 1, "newline": True}
GRID = [[PIXELS, 2 * PIXELS], [2 * PIXELS, PIXELS], [2 * PIXELS, 2 * PIXELS]]
KINDS: dict[str, dict[str, Any]] = {
    "tiles": {"grid": GRID},
    "pixels": {"path": None, "patch": 8, "size": [40, 48]},
}


def recipe_of(kind: str, model_recipe: MakeRecipe, **changes: Any) -> "ModelRecipe":
    whole = model_recipe("image", aligner=ALIGNER, **changes)
    image = whole.modalities["image"]
    encoder = type(image.encoder)(
        **{"path": image.encoder.path, "embed": True, **KINDS[kind]}, kind=kind
    )
    return whole.model_copy(
        update={"modalities": {"image": image.model_copy(update={"encoder": encoder})}}
    )


@pytest.fixture(scope="module", name="own", params=KINDS)
def _own(request: pytest.FixtureRequest, model_recipe: MakeRecipe) -> Assembled:
    torch.manual_seed(0)
    return build(recipe_of(request.param, model_recipe))


def record(*sizes: tuple[int, int], answer: str | None = "Noise, it seems.") -> dict[str, Any]:
    """Pictures of some heights and widths, a question about each, perhaps an answer."""
    random = np.random.default_rng(sum(map(sum, sizes)))
    media = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    asked = Probe(modality="image", media=media, questions=["What is it?"] * len(sizes)).record()
    answered = [{"role": "assistant", "content": answer}] if answer is not None else []
    return {"messages": [*asked["messages"], *answered]}


RECORDS = [record((30, 20)), record((17, 90), (9, 8)), record((40, 48), answer="Yes.")]


def batch_of(own: Assembled, records: Sequence[dict[str, Any]], **options: bool) -> Batch:
    samples = [own.processor(each) for each in records]
    return collate(samples, pad_id=own.processor.pad_id, **options)


@pytest.mark.parametrize("options", [{}, {"is_packed": True}])
def test_sizes_in_one_batch_equal_single_ones(own: Assembled, options: dict[str, bool]) -> None:
    allow_packing(own.model.llm)
    with torch.no_grad():
        together = own.model.loss(batch_of(own, RECORDS, **options))
        alone = [own.model.loss(batch_of(own, [each])).total for each in RECORDS]
    torch.testing.assert_close(together.per_sample, torch.stack(alone), rtol=1e-5, atol=1e-5)


def test_answers_about_sizes_together_equal_single_ones(own: Assembled) -> None:
    asked = [record((30, 20), answer=None), record((17, 90), (9, 8), answer=None)]
    together = answers(own, asked, batch_size=2, max_tokens=6)
    assert together == [answers(own, [each], max_tokens=6)[0] for each in asked]


def test_cached_features_bring_their_rows(own: Assembled, tmp_path: Path) -> None:
    encoder: Any = own.model.encoders["image"]
    with FeatureWriter(tmp_path, modality="image", encoder=encoder) as writer:
        for sample in map(own.processor, RECORDS):
            for item in sample.media["image"]:
                seen = encoder(stack_inputs([item.tensors]))
                writer.add(item.digest, seen, name="x", layout=encoder.layout(item.tensors))
    store = open_features(tmp_path, modality="image", encoder=encoder)
    processor = own.processor.without_features()
    processor.modalities["image"] = replace(processor.modalities["image"], features=store)
    from_cache = replace(own, processor=processor)
    with torch.no_grad():
        found = own.model.loss(batch_of(from_cache, RECORDS)).per_sample
        expected = own.model.loss(batch_of(own, RECORDS)).per_sample
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-3)


def test_a_saved_bundle_has_the_same_loss(own: Assembled, tmp_path: Path) -> None:
    again = load_bundle(save_bundle(own, tmp_path / "bundle"))
    with torch.no_grad():
        found = again.model.loss(batch_of(again, RECORDS)).per_sample
        expected = own.model.loss(batch_of(own, RECORDS)).per_sample
    assert torch.equal(found, expected)


def test_the_plan_counts_the_largest_picture(own: Assembled) -> None:
    planned = measure_parts(own.model_recipe).aligners["image"].num_tokens
    largest = {"tiles": (2 * PIXELS, 2 * PIXELS), "pixels": (40, 48)}
    sizes = [largest[own.model_recipe.modalities["image"].encoder.kind], (300, 290), (5, 90)]
    lengths = [own.processor(record(size)).slots[0].length for size in sizes]
    assert planned == lengths[0] == max(lengths)


def test_too_long_names_the_picture(model_recipe: MakeRecipe) -> None:
    own = build(recipe_of("pixels", model_recipe, max_tokens=40))
    with pytest.raises(TooLong, match="35 for one image alone"):
        own.processor(record((9, 8), (40, 48)))


def test_a_kind_with_weights_needs_a_path(model_recipe: MakeRecipe) -> None:
    recipe = recipe_of("tiles", model_recipe)
    image = recipe.modalities["image"]
    encoder = image.encoder.model_copy(update={"path": None})
    without = recipe.model_copy(
        update={"modalities": {"image": image.model_copy(update={"encoder": encoder})}}
    )
    with pytest.raises(RecipeError, match=r"modalities.image.encoder: .*'tiles' needs a path"):
        build(without)
