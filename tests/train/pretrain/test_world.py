from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from anymal.chat.template import build_template
from anymal.modality import MODALITIES
from anymal.playground.refusals import NOUNS, is_refusal
from anymal.playground.topics import PREFIXES, SCENE, SUFFIX
from anymal.playground.words import PLACES, YES_NO
from anymal.processor import Processor
from anymal.sample import IGNORED
from train.pretrain import language
from train.pretrain.language import _loss, train_tokenizer
from train.pretrain.world import (
    draw_comparison,
    draw_passage,
    draw_refusals,
    draw_talk,
    shorten,
    to_conversation,
)

RECIPES = Path(__file__).parents[3] / "train" / "recipes"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(np.random.default_rng(0))


def test_recipes_write_around_media_what_the_world_wrote_around_descriptions() -> None:
    for path in [*RECIPES.glob("tiny/*.yaml"), RECIPES / "quick.yaml"]:
        modalities = yaml.safe_load(path.read_text())["model"]["modalities"]
        for name, modality in modalities.items():
            assert modality["prefix"] == PREFIXES[name], path
            assert modality["suffix"] == SUFFIX, path
    assert set(PREFIXES) == set(MODALITIES)


def test_passages_speak_of_every_modality_and_of_pairs() -> None:
    passages = [draw_passage(np.random.default_rng(seed)) for seed in range(400)]
    modalities = {medium.topic.modality for passage in passages for medium in passage.media}
    assert modalities == set(MODALITIES)
    pairs = sum(len(passage.media) == 2 for passage in passages)
    assert 0.3 < pairs / len(passages) < 0.5


def test_most_scenes_hold_several_things_to_tell_apart() -> None:
    media = [
        passage.media[0]
        for passage in (draw_passage(np.random.default_rng(seed)) for seed in range(1500))
        if len(passage.media) == 1
    ]
    scenes = [medium.facts for medium in media if medium.topic is SCENE]
    assert len(scenes) > 0.4 * len(media)
    several = sum(not scene.is_crowd and len(scene.things) > 1 for scene in scenes)
    assert 0.65 < several / len(scenes) < 0.9


def test_conversation_holds_each_description_and_each_answer() -> None:
    for seed in range(50):
        passage = draw_passage(np.random.default_rng(seed))
        conversation = to_conversation(passage, rng=np.random.default_rng(seed))
        text = " ".join(message["content"] for message in conversation["messages"])
        for medium in passage.media:
            assert medium.topic.describe(medium.facts) in text
        answers = [m["content"] for m in conversation["messages"] if m["role"] == "assistant"]
        assert answers == [question.answer for question in passage.questions]


def test_descriptions_come_before_the_question_as_media_do() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        passage = draw_passage(rng)
        messages = to_conversation(passage, rng=rng)["messages"]
        asked = next(m["content"] for m in messages if m["role"] == "user")
        ends = [asked.index(m.topic.describe(m.facts)) for m in passage.media]
        assert ends == sorted(ends)
        assert asked.endswith(passage.questions[0].text)


def test_a_talk_shows_its_second_medium_with_the_first_question_about_it() -> None:
    alike = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, later = draw_talk(rng)
        alike += first.media[0].topic is later.media[0].topic
        messages = to_conversation(first, later, rng=rng)["messages"]
        asked = [m["content"] for m in messages if m["role"] == "user"]
        assert len(asked) == len(first.questions) + len(later.questions)
        (medium,) = later.media
        shown = medium.topic.describe(medium.facts)
        assert shown in asked[len(first.questions)]
        assert asked[len(first.questions)].endswith(later.questions[0].text)
    assert 25 < alike < 55  # half on purpose, and some by chance


def test_refusals_and_near_misses_are_words_of_the_world() -> None:
    """A medium that words describe counts as sent, and no other does."""
    refused = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        messages = to_conversation(*draw_refusals(rng), rng=rng, short=0.5)["messages"]
        said = "".join(message["content"] for message in messages if message["role"] == "user")
        shown = [name for name, prefix in PREFIXES.items() if f"{prefix} " in said]
        answer = messages[-1]["content"]
        refused.append(is_refusal(answer))
        if "came with this question" in answer:
            assert not [name for name in shown if NOUNS[name] in answer], said
        if answer.startswith("That is a"):
            assert len(shown) == 1
    assert 0.75 < np.mean(refused) < 0.95


def test_a_refusal_has_no_shorter_form() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        question = draw_refusals(rng)[-1].questions[-1]
        short = shorten(question, rng)
        assert (short.answer == question.answer) == (
            is_refusal(question.answer) or not question.choices
        )
        assert short.text.startswith(question.text)


def test_own_template_in_jinja_writes_what_the_llama2_template_writes(tokenizer) -> None:
    processor = Processor(
        tokenizer=tokenizer,
        template=build_template("llama2", tokenizer),
        modalities={},
        max_tokens=1024,
    )
    for seed in range(40):
        rng = np.random.default_rng(seed)
        conversation = to_conversation(draw_passage(rng), rng=rng)
        trimmed = [
            message | {"content": message["content"].strip()}
            for message in conversation["messages"]
        ]
        written = tokenizer.apply_chat_template(trimmed, tokenize=False)
        assert tokenizer.decode(processor(conversation).ids) == written


def test_vocabulary_spells_the_words_of_the_world_in_one_token(tokenizer) -> None:
    for word in (" seven", " walking", " circle", " purple", *(f" {place}" for place in PLACES)):
        assert len(tokenizer.encode(word, add_special_tokens=False)) == 1
    for text in ("Gr\u00fc\u00dfe, \u4e16\u754c!", "top left", "a  top leftover\n bottom right."):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_padding_does_not_change_the_language_loss(tokenizer, monkeypatch) -> None:
    monkeypatch.setattr(language, "_NOISE", 0.0)
    monkeypatch.setattr(language, "_has_bfloat16", lambda: False)
    torch.manual_seed(0)
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
    )
    model.lm_head.weight.data *= 40  # else every token costs about as much
    processor = Processor(
        tokenizer=tokenizer,
        template=build_template("llama2", tokenizer),
        modalities={},
        max_tokens=1024,
    )
    short, long = (
        processor({"messages": [*_turn("Image: a red circle\nWhat colour is it?", answer)]})
        for answer in ("Red.", "The circle in the picture is red: as far as I can see, it is.")
    )
    alone = [_loss(model, [sample], tokenizer).item() for sample in (short, long)]
    colon = tokenizer.convert_tokens_to_ids(":")
    weights = [_weight(sample, colon) for sample in (short, long)]
    together = _loss(model, [short, long], tokenizer).item()
    assert abs(alone[0] / alone[1] - 1) > 0.01
    assert together == pytest.approx(np.average(alone, weights=weights), rel=1e-4)


def _turn(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _weight(sample, colon: int) -> float:
    """The first token of an answer, and the first after its colon, weigh more than the others."""
    labels = sample.labels.tolist()
    return sum(
        language._CONTEXT_WEIGHT
        if now == IGNORED
        else (language._BEGINNING_WEIGHT if before in (IGNORED, colon) else 1.0)
        for before, now in pairwise(labels)
    )


def test_short_answers_are_the_answers_alone() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        for question in draw_passage(rng).questions:
            short = shorten(question, rng)
            if question.choices:
                assert short.answer == ", ".join(question.expected) + "."
                assert short.text.startswith(question.text)
            else:
                assert short == question


def test_comparisons_weigh_two_things_against_each_other() -> None:
    drawn = [draw_comparison(np.random.default_rng(seed)) for seed in range(300)]
    questions = [question for passage in drawn for question in passage.questions]
    tasks = {question.task for question in questions}
    assert {"mixed more", "scene relation", "scene presence", "sign and speech match"} <= tasks
    assert not tasks & {"scene caption", "scene colour", "clip direction", "digits"}
    answers = [question.expected[0] for question in questions if question.choices == YES_NO]
    assert 0.4 < np.mean([answer == "yes" for answer in answers]) < 0.6
