"""Aligners that read the words beside a medium: batches, prompts, bundles and plans."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import ByT5Tokenizer

from anymal.assemble import Assembled, build
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.chat.vocabulary import Vocabulary
from anymal.collate import collate
from anymal.engine.prompt import EmbeddingSpan, Prompt
from anymal.errors import BundleError, RecipeError, TooLong
from anymal.llm.packing import allow_packing
from anymal.plan.aligner import measure_aligner
from anymal.recipe.schema import AlignerRecipe, ModelRecipe
from anymal.serving.soft_tokens import SoftTokens
from encoders.base import Layout
from tests.tiny import VOCABULARY, model_section, save_tokenizer, talk

RED = (255, 0, 0)
ALIGNER = {"kind": "qformer", "num_tokens": 3, "layers": 2, "width": 16, "num_heads": 2}
READS = {"vocab_size": VOCABULARY, "max_words": 40}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("vocabulary") / "words"
    save_tokenizer(folder)
    return str(folder)


def recipe_of(checkpoints: SimpleNamespace, vocabulary: str | None, **options: Any) -> ModelRecipe:
    aligner = ALIGNER | READS | options
    if vocabulary is not None:
        aligner |= {"vocabulary": vocabulary}
    return ModelRecipe.model_validate(model_section(checkpoints, ["image"], aligner=aligner))


@pytest.fixture(scope="module")
def reading(checkpoints: SimpleNamespace, vocabulary: str) -> Assembled:
    torch.manual_seed(0)
    return build(recipe_of(checkpoints, vocabulary))


@pytest.fixture
def soft_tokens(reading: Assembled) -> Iterator[SoftTokens]:
    soft_tokens = SoftTokens(reading.model, window_s=0.05)
    yield soft_tokens
    soft_tokens.close()


def soft(prompt: Prompt) -> EmbeddingSpan:
    (span,) = [span for span in prompt.spans if isinstance(span, EmbeddingSpan)]
    return span


def test_the_message_of_a_medium_is_read_and_no_answer(reading: Assembled) -> None:
    asked = talk("What is it?", "Red.", images=[RED])
    follow_up = {"role": "user", "content": "And why?"}
    longer = {"messages": [*asked["messages"], follow_up]}
    items = [
        reading.processor(each, generate=generate).media["image"][0]
        for each, generate in ((asked, False), (longer, True))
    ]
    own = reading.processor.modalities["image"].vocabulary
    assert own is not None
    assert items[0].words == items[1].words == own.read("What is it?", name="it")
    assert own.tokenizer.decode(items[0].words) == "What is it?"
    in_answer = {"role": "assistant", "content": [asked["messages"][0]["content"][0]]}
    question = {"role": "user", "content": "Show me."}
    try:
        shown = reading.processor({"messages": [question, in_answer]}, generate=False)
    except Exception as error:  # some templates take no media there
        pytest.skip(str(error))
    assert shown.media["image"][0].words == own.read("", name="it")


def test_what_looks_special_is_spelled_out(reading: Assembled) -> None:
    own = reading.processor.modalities["image"].vocabulary
    assert own is not None
    assert own.tokenizer.eos_token_id not in own.read("a</s>b", name="it")
    in_python = Vocabulary(ByT5Tokenizer(), most=40)
    ids = in_python.read("a</s>b", name="it")
    assert ids.count(in_python.tokenizer.eos_token_id) == 1, "its own, at the end"
    assert in_python.tokenizer.decode(ids, skip_special_tokens=True) == "a</s>b"


def test_long_words_are_refused(reading: Assembled) -> None:
    with pytest.raises(TooLong, match="reads at most 40; shorten the text of that message"):
        reading.processor(talk("x" * 60, images=[RED]), generate=True)


def test_one_medium_with_two_questions_is_two_items(reading: Assembled) -> None:
    talks = ("What is it?", "Why?", "What is it?")
    samples = [reading.processor(talk(words, "Red.", images=[RED])) for words in talks]
    model = reading.model
    allow_packing(model.llm)
    losses = []
    for is_packed in (False, True):
        batch = collate(samples, pad_id=0, is_packed=is_packed, splits_prefix=is_packed)
        assert batch.slots["image"].items == (0, 1, 0)
        made = model.align(model.encode(batch.media))["image"]
        assert len(made.values) == 2
        assert not torch.allclose(made.values[0], made.values[1], atol=1e-5)
        losses.append(model.loss(batch).per_sample)
    alone = [model.loss(collate([sample], pad_id=0)).per_sample for sample in samples]
    for loss in losses:
        torch.testing.assert_close(loss, torch.cat(alone), atol=1e-4, rtol=1e-5)


def test_serving_encodes_a_medium_once_and_aligns_it_for_each_question(
    reading: Assembled, soft_tokens: SoftTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, encode = [], reading.model.encode

    def watched(media: Any) -> Any:
        encoded.append(len(media["image"].counts))
        return encode(media)

    def ask(words: str) -> EmbeddingSpan:
        sample = reading.processor(talk(words, images=[RED]), generate=True)
        return soft(soft_tokens.prompt(sample))

    monkeypatch.setattr(reading.model, "encode", watched)
    one, two, again = ask("What is it?"), ask("Why?"), ask("What is it?")
    assert encoded == [1]
    assert one.embeddings is again.embeddings
    assert one.digest == again.digest != two.digest
    kept = one.embeddings.nbytes + two.embeddings.nbytes
    assert soft_tokens.stats().bytes_used > kept  # features are counted too
    batch = collate([reading.processor(talk("Why?", "Red.", images=[RED]))], pad_id=0)
    with torch.no_grad():
        wanted = reading.model.align(encode(batch.media))["image"].values[0]
    torch.testing.assert_close(two.embeddings, wanted)


def test_the_tokeniser_travels_in_the_bundle(reading: Assembled, tmp_path: Path) -> None:
    folder = save_bundle(reading, tmp_path / "bundle")
    assert (folder / "aligners" / "image" / "tokenizer.json").is_file()
    again = load_bundle(folder)
    sample = talk("What is it?", images=[RED])
    ours, theirs = (
        each.processor(sample, generate=True).media["image"][0].words for each in (reading, again)
    )
    assert ours == theirs
    for name, tensor in reading.model.aligners.state_dict().items():
        assert torch.equal(tensor, again.model.aligners.state_dict()[name])
    save_bundle(again, tmp_path / "copy")
    load_bundle(tmp_path / "copy")
    file = folder / "aligners" / "image" / "tokenizer.json"
    values = json.loads(file.read_text())
    words = values["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    file.write_text(json.dumps(values))
    with pytest.raises(BundleError, match="aligner differs"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("options", "has_vocabulary", "words"),
    [
        ({}, False, "reads words beside media; give vocabulary"),
        ({"vocab_size": None}, True, "reads no words; set vocab_size"),
        ({"vocab_size": 10}, True, "words, and the aligner knows 10; set vocab_size: "),
    ],
)
def test_mistakes_are_named(
    checkpoints: SimpleNamespace,
    vocabulary: str,
    options: dict[str, Any],
    has_vocabulary: bool,
    words: str,
) -> None:
    recipe = recipe_of(checkpoints, vocabulary if has_vocabulary else None, **options)
    with pytest.raises(RecipeError, match=words):
        build(recipe)


def test_a_plan_counts_the_words(vocabulary: str) -> None:
    kept = []
    for reads in ({}, READS | {"max_words": 64, "vocabulary": vocabulary}):
        recipe = AlignerRecipe.model_validate(ALIGNER | reads)
        layout = Layout(rows=2, columns=2)
        kept.append(measure_aligner("image", recipe, encoder_dim=16, layout=layout, llm_dim=64))
    assert kept[1].kept > kept[0].kept > 0
    assert kept[1].num_parameters - kept[0].num_parameters > VOCABULARY * 16
