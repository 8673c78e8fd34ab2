"""MiniGPT-v2 (A16 and B5 of the methods): patches joined in rows, LoRA, and task tags.

Works when: (A16) the merged token k is raw tokens 4k to 4k + 3 one after the other, and LoRA starts
at zero, so that logits are those of the bare language model; (B5) tags leave the tokeniser's length
as it is, and sources come as often as their ratios say.
"""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from aligners.registry import build_aligner
from anymal.assemble import lora_options
from anymal.chat.segments import MediaSegment, TextSegment, Turn
from anymal.chat.template import build_template
from anymal.chat.tokens import TextEncoder
from anymal.llm.load import load_llm
from anymal.recipe.own_prompt import OwnPrompt
from anymal.recipe.schema import Recipe, load_recipe
from anymal.recipe.task_tags import TAGS, with_tag
from encoders.base import Features
from tests.anymal.chat.test_template import written
from train.data.sampler import Sampler

RECIPE = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "minigpt_v2.yaml"


@pytest.fixture(scope="module", name="recipe")
def _recipe() -> Recipe:
    return load_recipe(RECIPE, keep_unset=True)


# --- works when (A16) ---------------------------------------------------------------------------


def test_four_patches_in_a_row_become_one_soft_token(recipe: Recipe) -> None:
    given = recipe.model.modalities["image"].aligner
    aligner = build_aligner(
        given.kind,
        **{"encoder_dim": 6, "llm_dim": 10, "embedding_rms": 1.0, "num_tokens": given.num_tokens},
        **given.options,
    )
    raw = torch.randn(2, 1024, 6)
    mask = torch.ones(2, 1024, dtype=torch.bool)
    features = Features(values=raw, mask=mask, steps=torch.zeros(2, 1024, dtype=torch.int64))
    [linear] = [each for each in aligner.modules() if isinstance(each, nn.Linear)]
    assert linear.in_features == 4 * 6
    with torch.no_grad():
        soft_tokens = aligner(features).values
        for k in (0, 1, 100, 255):
            joined = torch.cat([raw[:, 4 * k + each] for each in range(4)], dim=-1)
            expected = F.linear(joined, linear.weight, linear.bias)
            torch.testing.assert_close(soft_tokens[:, k], expected)
    assert soft_tokens.shape == (2, 256, 10)


def test_lora_starts_as_the_bare_language_model(
    recipe: Recipe, checkpoints: SimpleNamespace
) -> None:
    lora = lora_options(recipe.model.lora)
    llm = load_llm(str(checkpoints.llm), precision="fp32", lora=lora)
    bare = AutoModelForCausalLM.from_pretrained(checkpoints.llm, dtype=torch.float32).eval()
    embeds = torch.randn(1, 7, bare.config.hidden_size)
    llm.use_lora(True)
    with torch.no_grad():
        ours = llm.model(inputs_embeds=embeds).logits
        assert torch.equal(ours, bare(inputs_embeds=embeds).logits)
    names = llm.lora_parameters()
    assert {name.split(".")[-4] for name in names} == {"q_proj", "v_proj"}
    assert all(not parameter.any() for name, parameter in names.items() if "lora_B" in name)


# --- works when (B5) ----------------------------------------------------------------------------


def test_tags_are_ordinary_text(checkpoints: SimpleNamespace) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    before = len(tokenizer)
    text = TextEncoder(tokenizer)
    for tag in TAGS.values():
        ids = text.encode(tag)
        assert len(ids) > 1
        assert not set(ids) & set(tokenizer.all_special_ids)
    assert len(tokenizer) == before


def test_sources_come_as_often_as_their_ratios_say(recipe: Recipe) -> None:
    weights = [entry.weight for entry in recipe.stages[-1].data]
    assert all(isinstance(weight, float) for weight in weights)
    numbers = [float(weight) for weight in weights if isinstance(weight, float)]
    sampler = Sampler(seed=0, stage=2, sizes=[50] * len(numbers), weights=numbers)
    counts = Counter(sampler.draw(position).source for position in range(20_480))
    for source, number in enumerate(numbers):
        # Blocks of 1024 draws hold each source's share to within one draw.
        assert abs(counts[source] - 20_480 * number / sum(numbers)) <= 20


def test_the_prompt_of_the_methods(recipe: Recipe, checkpoints: SimpleNamespace) -> None:
    """`[INST] <Img><ImageHere></Img> [refer] question [/INST]`, and a box in hundredths."""
    [entry] = recipe.stages[0].heldout or []
    assert isinstance(entry.prompt, OwnPrompt)
    row = {"image": "a.jpg", "text": "the cat", "width": 100, "height": 100}
    record = with_tag(
        entry.prompt.style().conversation({**row, "box": [29, 0, 50, 99.9]}), "[refer]"
    )
    question, answer = record["messages"]
    assert answer["content"] == "{<28><0><50><99>}"  # 0.29 is cut off to 28
    part = recipe.model.modalities["image"]
    medium = MediaSegment(modality="image", index=0, prefix=part.prefix, suffix=part.suffix)
    words = TextSegment(text=question["content"][1]["text"])
    template = build_template(
        recipe.model.llm.template, AutoTokenizer.from_pretrained(checkpoints.llm)
    )
    segments = template.render([Turn(role="user", content=(medium, words))], generate=True)
    assert written(segments) == "<s>[INST] <Img>(image)</Img> [refer] Where is the cat? [/INST]"
