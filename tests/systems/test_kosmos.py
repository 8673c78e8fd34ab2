"""Kosmos (A2 of the methods), by its descendant Kosmos-2: one bare attention between the parts.

Works when: the pooling of the recipe agrees with `Kosmos2ImageToTextProjection` within 1e-6, and
the box (0.25, 0.25, 0.75, 0.75) is cells 264 and 759 (tests/anymal/evaluation/test_boxes.py).
"""

from pathlib import Path

import pytest
import torch
from transformers import Kosmos2Config
from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2ImageToTextProjection

from aligners.registry import build_aligner
from anymal.bundle.load import load_bundle
from anymal.collate import collate
from anymal.llm.causal_lm import LLM
from anymal.published.importing import check_against
from anymal.published.probe import one_question
from anymal.recipe.schema import load_recipe
from encoders.base import Features
from tests.systems.agreement import class_answer, imported, served_answer
from tests.systems.kosmos_checkpoints import save_kosmos2

RECIPES = Path(__file__).parents[2] / "train" / "recipes" / "systems"


@pytest.fixture(scope="module", name="kosmos")
def _kosmos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and its bundle."""
    place = tmp_path_factory.mktemp("kosmos")
    folder = save_kosmos2(place / "kosmos")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


def test_the_pooling_of_the_recipe_is_that_of_the_class() -> None:
    recipe = load_recipe(RECIPES / "kosmos.yaml", keep_unset=True)
    given = recipe.model.modalities["image"].aligner
    sizes = {"num_heads": 4, "head_dim": 4}
    assert given.options.keys() >= sizes.keys()
    ours = build_aligner(
        given.kind,
        **{"encoder_dim": 12, "llm_dim": 16, "embedding_rms": 1.0, "num_tokens": 64},
        **(given.options | sizes),
    )
    text = {"embed_dim": 16, "attention_heads": 4, "layers": 1, "ffn_dim": 8, "vocab_size": 10}
    config = Kosmos2Config(text_config=text, vision_config={"hidden_size": 12})
    oracle = Kosmos2ImageToTextProjection(config).eval()
    attention = oracle.x_attn
    modules = {
        "project_in": oracle.dense,
        "layers.0.to_query": attention.q_proj,
        "layers.0.to_key": attention.k_proj,
        "layers.0.to_value": attention.v_proj,
        "layers.0.to_out": attention.out_proj,
    }
    state = {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    state |= {"queries": oracle.latent_query, "scale": torch.ones(())}
    ours.load_state_dict(state)
    values = torch.randn(2, 257, 12)
    mask = torch.ones(2, 257, dtype=torch.bool)
    features = Features(values=values, mask=mask, steps=mask.long())
    torch.testing.assert_close(ours(features), oracle(values)[0], atol=1e-6, rtol=1e-5)


def test_it_is_served_as_its_class_generates(kosmos: tuple[Path, Path]) -> None:
    folder, bundle = kosmos
    said = served_answer(bundle, one_question("image"))
    answer = class_answer(folder, one_question("image"))
    assert said.strip() == answer.strip() != ""


def test_its_positions_begin_behind_its_padding(kosmos: tuple[Path, Path]) -> None:
    llm: LLM = load_bundle(kosmos[1]).model.llm
    words = torch.arange(5, 12)[None]
    with torch.no_grad():
        own = llm.model(input_ids=words).logits
        ours, moved = (
            llm.head(llm.decode(llm.embed(words), positions=torch.arange(7)[None] + start))
            for start in (0, 1)
        )
    torch.testing.assert_close(ours, own, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(moved, own, atol=1e-2)


@pytest.mark.slow
def test_another_number_of_queries(tmp_path: Path) -> None:
    folder = save_kosmos2(tmp_path / "kosmos", queries=3)
    imported(folder, tmp_path / "bundle")
    check_against(tmp_path / "bundle", folder, tell=lambda _: None)
    assembled = load_bundle(tmp_path / "bundle")
    sample = assembled.processor(one_question("image").record(), generate=True)
    assert len(collate([sample], pad_id=0).slots["image"].positions) == 3
