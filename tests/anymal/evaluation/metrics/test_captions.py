from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.metrics.captions import CaptionMetric, caption_metrics
from anymal.evaluation.metrics.tokens import tokenise

TITLES = ["CIDEr-D", "ROUGE-L", "BLEU-4", "BLEU-3", "BLEU-2", "BLEU-1"]
KEYS = ["cider_d", "rouge_l", "bleu_4", "bleu_3", "bleu_2", "bleu_1"]


def columns(items: Any) -> tuple[list[str], list[list[str]]]:
    return [item["candidate"] for item in items], [item["references"] for item in items]


@pytest.mark.parametrize(("place", "key"), list(enumerate(KEYS)))
def test_values_from_the_references_tokens(place: int, key: str, captions: Any, judge: Any) -> None:
    metric = caption_metrics(lambda texts: [text.split() for text in texts], "given")[place]
    assert metric.name == f"{TITLES[place]} (given)"
    judged = judge(metric, *columns(captions["tokens"]))
    assert judged.figure == pytest.approx(captions["corpus"][key], abs=1e-6)
    if key in captions["each"][0]:
        values = [each[key] for each in captions["each"]]
        assert judged.values == pytest.approx(np.array(values), abs=1e-6)


def test_our_tokens_are_the_references(captions: Any) -> None:
    for raw, tokens in zip(captions["items"], captions["tokens"], strict=True):
        texts = [raw["candidate"], *raw["references"]]
        wanted = [tokens["candidate"], *tokens["references"]]
        assert [" ".join(tokenise(text)) for text in texts] == wanted


def test_corpus_values_with_our_tokens(captions: Any, judge: Any) -> None:
    for metric, key in zip(caption_metrics(), KEYS, strict=True):
        figure = 100 * judge(metric, *columns(captions["items"])).figure
        assert figure == pytest.approx(100 * captions["corpus"][key], abs=0.1)


# What Stanford's tokeniser gave, with COCO's punctuation dropped.
@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("Mr. Smith waits at St. John's, etc.", "mr. smith waits at st. john 's etc."),
        ("couldn't've I'd've it's", "could n't 've i 'd 've it 's"),
        ("lemme gimme gotta cannot", "lem me gim me got ta can not"),
        ("'tis o'clock, ma'am", "'t is o'clock ma'am"),
        ("rock 'n' roll of the '90s", "rock 'n' roll of the '90s"),
        ("5:30pm or 3.14, 24/7, 1,000,000", "5:30 pm or 3.14 24/7 1,000,000"),
        ("a--b - c ... hey!!! so?!", "a b c hey !!! so ?!"),
        ("Don\u2019t say \u201cno\u201d\u2026", "do n't say no"),
        ("{b} costs 50% & up, AT&T", "-lcb- b -rcb- costs 50 % & up at&t"),
        ("pre- and 12-year-old a_b and/or", "pre and 12-year-old a_b and/or"),
        ("", ""),
    ],
)
def test_tokens_of_odd_captions(caption: str, tokens: str) -> None:
    assert " ".join(tokenise(caption)) == tokens


def test_captions_like_no_reference_get_nothing(judge: Any) -> None:
    references = [["a dog barks"], ["rain falls on a roof"]]
    for metric in caption_metrics():
        for silent in ("", "quick zebras jump"):
            assert judge(metric, [silent, silent], references).figure == pytest.approx(0, abs=1e-6)


def test_a_part_of_the_questions_is_judged_by_their_counts(judge: Any) -> None:
    texts = ["a dog barks", "rain falls", "people talk"]
    references = [["a dog barks loudly"], ["the rain falls down"], ["two people talk"]]
    picks = np.array([0, 0, 2])
    for metric in caption_metrics():
        judged = judge(metric, texts, references)
        if metric.name.startswith("BLEU"):
            again = judge(metric, [texts[i] for i in picks], [references[i] for i in picks])
            assert judged.over(picks) == pytest.approx(again.figure)
        else:
            assert judged.over(picks) == pytest.approx(judged.values[picks].mean())


def test_a_caption_without_reference_is_an_error(judge: Any) -> None:
    metric = caption_metrics()[0]
    assert isinstance(metric, CaptionMetric)
    with pytest.raises(DataError, match=r"question 2 has no meta\.references; CIDEr-D"):
        judge(metric, ["a", "b"], [["a"], []])
