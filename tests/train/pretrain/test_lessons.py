import re

import numpy as np
import pytest
from transformers import AutoTokenizer

from anymal.bundle.manifest import bundle_folder
from anymal.chat.template import build_template
from anymal.playground.refusals import is_refusal
from anymal.processor import Processor
from anymal.sample import Sample
from train.pretrain.lessons import FIRST_EPOCH, SECOND_EPOCH, Epoch, Lessons
from train.pretrain.world import draw_refusals, to_conversation

MOST_SOFT_TOKENS = 32  # of one medium, in the recipes of the built-in model


@pytest.fixture(scope="module")
def processor() -> Processor:
    tokenizer = AutoTokenizer.from_pretrained(bundle_folder("tiny") / "llm")
    template = build_template("llama2", tokenizer)
    return Processor(tokenizer=tokenizer, template=template, modalities={}, max_tokens=1024)


def lessons(processor: Processor, given: Epoch) -> Lessons:
    return Lessons(given, processor, np.random.default_rng(0))


LIST_ORDER = r"(?:repeat|after|before|has|first|last)\b"
# Not "is the circle left of the square", which people write about a scene.
SIDES = "(?:left of|right of|above|below)"
MAP_ORDER = rf"where (?!is)\w|{SIDES} or |is \w+(?: \w+)? {SIDES} (?!the )"


def are_drills(processor: Processor, samples: list[Sample]) -> list[bool]:
    texts = [processor.tokenizer.decode(sample.ids) for sample in samples]
    return [re.search(rf"\n(?:{LIST_ORDER}|{MAP_ORDER})", text) is not None for text in texts]


def test_a_batch_holds_about_as_many_tokens_as_another(processor: Processor) -> None:
    drawn = lessons(processor, SECOND_EPOCH)
    for _ in range(12):
        lengths = [len(sample.ids) for sample in drawn.batch(0.5)]
        assert lengths == sorted(lengths)
        assert len(lengths) * max(lengths) <= 4096


def test_the_first_pass_begins_with_drills_alone(processor: Processor) -> None:
    drawn = lessons(processor, FIRST_EPOCH)
    assert all(are_drills(processor, drawn.batch(0.0)))
    assert not all(are_drills(processor, drawn.batch(0.99)))


def test_the_second_pass_begins_with_the_world(processor: Processor) -> None:
    drawn = lessons(processor, SECOND_EPOCH)
    seen = [is_drill for _ in range(10) for is_drill in are_drills(processor, drawn.batch(0.0))]
    assert 0.02 < np.mean(seen) < 0.3


@pytest.mark.parametrize("epoch", [FIRST_EPOCH, SECOND_EPOCH])
def test_refusals_and_near_misses_have_their_share(processor: Processor, epoch: Epoch) -> None:
    drawn = lessons(processor, epoch)
    last = [drawn._passages()[-1].questions[-1] for _ in range(800)]
    share = np.mean([is_refusal(question.answer) for question in last])
    # Three in four or more are refusals, the others near misses.
    assert 0.6 * epoch.refusals < share < 1.1 * epoch.refusals


def test_refusals_leave_room_for_the_soft_tokens_of_two_media(processor: Processor) -> None:
    rng = np.random.default_rng(0)
    longest = max(
        len(processor(to_conversation(*draw_refusals(rng, split), rng=rng)).ids)
        for split in ("train", "heldout")
        for _ in range(300)
    )
    assert longest + 2 * MOST_SOFT_TOKENS <= 1024
