import numpy as np
import pytest
from transformers import AutoTokenizer

from anymal.bundle_format import bundle_folder
from anymal.chat import build_template
from anymal.processor import Processor, Sample
from train.pretrain.lessons import FIRST_PASS, SECOND_PASS, Lessons, Pass


@pytest.fixture(scope="module")
def processor() -> Processor:
    tokenizer = AutoTokenizer.from_pretrained(bundle_folder("tiny") / "llm")
    template = build_template("llama2", tokenizer)
    return Processor(tokenizer=tokenizer, template=template, modalities={}, max_tokens=1024)


def lessons(processor: Processor, given: Pass = FIRST_PASS) -> Lessons:
    return Lessons(given.stages, processor, np.random.default_rng(0))


def words(processor: Processor, samples: list[Sample]) -> str:
    return " ".join(processor.tokenizer.decode(sample.ids) for sample in samples)


@pytest.mark.parametrize("given", [FIRST_PASS, SECOND_PASS])
def test_stages_follow_each_other_to_the_end(given: Pass) -> None:
    ends = [stage.end for stage in given.stages]
    assert ends == sorted(ends)
    assert ends[-1] == 1.0


def test_a_batch_holds_about_as_many_tokens_as_another(processor: Processor) -> None:
    drawn = lessons(processor, SECOND_PASS)
    for _ in range(12):
        lengths = [len(sample.ids) for sample in drawn.batch(0.5)]
        assert lengths == sorted(lengths)
        assert len(lengths) * max(lengths) <= 4096


def test_the_first_lesson_is_of_digits_alone_and_the_last_of_all(processor: Processor) -> None:
    drawn = lessons(processor)
    first = words(processor, drawn.batch(0.0))
    assert "hand" in first
    assert "square" not in first
    assert "square" in words(processor, drawn.batch(0.99))
    assert "square" not in words(processor, drawn.batch(0.0))
