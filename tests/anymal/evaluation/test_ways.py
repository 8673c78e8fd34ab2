"""A choice learnt by its letter, or by how likely the model finds each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anymal.assemble import Assembled
from anymal.engine.events import Event, Finished, TextDelta, TokenCounts
from anymal.errors import DataError
from anymal.evaluation.answer_log import AnswerLog
from anymal.evaluation.answers import start_batch_assistant
from anymal.evaluation.metrics.auc import Auc
from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.runner import evaluate
from anymal.evaluation.scoring import is_right
from anymal.evaluation.task import Task
from anymal.evaluation.ways import check_way, with_letters
from anymal.serving.assistant import Assistant


@pytest.fixture(scope="module")
def model(assembled: Assembled) -> Iterator[Assistant]:
    with start_batch_assistant(assembled, name="model", batch_size=16) as assistant:
        yield assistant


def answers_of(log: AnswerLog) -> list[Any]:
    """The lines of the answers by record; the log holds them in the order in which they came."""
    return sorted((line for line in log.lines if "key" in line), key=lambda line: line["id"])


@pytest.fixture
def records(colours: Any) -> list[dict[str, Any]]:
    return [
        colours.record(name, "Which colour?" + " Please." * number, number=number)
        for number, name in enumerate(colours.names * 2)
    ]


@pytest.mark.parametrize("way", ["likelihood", "likelihood-per-token"])
def test_the_likeliest_choice_is_taken(
    model: Assistant, records: list[dict[str, Any]], way: Any
) -> None:
    log = AnswerLog()
    for each in records:  # of different lengths, so that sums and means differ
        each["meta"]["choices"] = ["red", "green and nothing else at all", "blue", "green"]
    (row,) = evaluate(model, {"colour": records}, way=way, controls=(), log=log).tasks
    answers = answers_of(log)
    assert len(answers) == len(records)
    field = "per_token" if way == "likelihood-per-token" else "sum"
    num_right = 0
    for record, line in zip(records, answers, strict=True):
        choices = record["meta"]["choices"]
        reply = model.likelihood(record["messages"][:1], choices)
        scores = [getattr(each, field) for each in reply.answers]
        assert line["likelihoods"] == pytest.approx(scores, abs=1e-4)
        assert line["answer"] == line["choice"] == choices[scores.index(max(scores))]
        assert line["right"] == (line["choice"] == record["meta"]["answer"])
        num_right += line["right"]
    assert row.metric == f"right (by {way})"
    assert (row.score.correct, row.score.n) == (num_right, len(records))
    assert row.chance == 0.25


def test_all_controls_and_a_log_that_goes_on(
    model: Assistant, records: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    log = AnswerLog(path)
    first = evaluate(model, {"colour": records}, way="likelihood", log=log)
    log.close()
    again = AnswerLog(path, resume=True)
    assert evaluate(model, {"colour": records}, way="likelihood", log=again) == first
    assert len(again.lines) == len(log.lines)
    assert {name: share.n for name, share in first.tasks[0].controls.items()}["swapped"] == 6
    other = evaluate(model, {"colour": records}, way="likelihood-per-token", controls=(), log=again)
    assert len(again.lines) > len(log.lines), "another way has answers of its own"
    again.close()
    assert other.settings["answer"] == "likelihood-per-token"


def test_a_metric_of_label_probabilities_asks_for_them(
    model: Assistant, records: list[dict[str, Any]]
) -> None:
    for number, each in enumerate(records):
        each["meta"] |= {"choices": ["no", "yes"], "answer": ("no", "yes")[number % 2]}
    metrics = (Auc(positive="yes"), RightOrWrong(scorer=is_right))
    task = Task(name="memes", records=records, metrics=metrics)
    log = AnswerLog()
    (row,) = evaluate(model, [task], controls=(), log=log).tasks
    pairs = [line["likelihoods"] for line in answers_of(log)]
    odds = [yes - no for no, yes in pairs]
    by_hand = [(a > b) + (a == b) / 2 for a in odds[1::2] for b in odds[::2]]
    assert row.metric == "AUC (label probabilities)"
    assert row.score.accuracy == pytest.approx(sum(by_hand) / len(by_hand))
    assert list(row.figures) == ["right (by likelihood)"]
    for way in ("text", "letter"):
        log = AnswerLog()
        with pytest.raises(DataError, match=r"measured by AUC .* answer by likelihood"):
            evaluate(model, [task], way=way, controls=(), log=log)
        assert log.lines == [], "nothing is asked in vain"


def test_what_is_no_choice_is_refused(model: Assistant, records: list[dict[str, Any]]) -> None:
    for meta in (
        {"answer": "red"},
        {"all_of": ["red", "blue"], "choices": ["red", "green", "blue"]},
    ):
        for way in ("letter", "likelihood"):
            task = {"open": [{**records[0], "meta": meta}]}
            with pytest.raises(DataError, match=f"by {way}; answer it by text"):
                evaluate(model, task, way=way, controls=())
    many = [str(number) for number in range(27)]
    task = {"many": [{**records[0], "meta": {"answer": "3", "choices": many}}]}
    with pytest.raises(DataError, match="27 choices, more than letters"):
        evaluate(model, task, way="letter", controls=())


def test_unknown_ways_are_refused() -> None:
    assert [check_way(name) for name in (None, "letter")] == [None, "letter"]
    with pytest.raises(DataError, match="'guess'; known: text, letter, likelihood, likelihood-per"):
        check_way("guess")


class Lettered:
    """Soft tokens and engine in one: it says what it is told to, and keeps what it was asked."""

    def __init__(self, assistant: Assistant, *says: str) -> None:
        self._says = iter(says)
        self._processor = assistant.processor
        self.asked: list[str] = []

    def __call__(self, prompt: Any, **options: Any) -> Any:
        self.asked.append(prompt["messages"][-1]["content"][-1]["text"])
        return self._processor(prompt, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def prompt(self, sample: Any) -> Any:
        return sample

    def submit(self, prompt: Any, sampling: Any) -> Iterator[Event]:
        yield TextDelta(text=next(self._says))
        yield Finished(reason="stop", counts=TokenCounts(prompt=1, completion=1))

    def close(self) -> None:
        """Holds nothing."""


def test_letters_stand_for_choices(colours: Any) -> None:
    records = [colours.record(name, number=n) for n, name in enumerate(colours.names * 2)]
    says = ("(A)", "B", "C.", "The answer is B.", "green", "Perhaps")
    model: Any = Lettered(colours.assistant(), *says)
    assistant = Assistant(name="m", processor=model, soft_tokens=model, engine=model)
    log = AnswerLog()
    (row,) = evaluate(
        assistant, {"c": records}, way="letter", controls=(), batch_size=1, log=log
    ).tasks
    assert (
        model.asked[:6]
        == ["Which colour?\n(A) red (B) green (C) blue\nAnswer with the letter."] * 6
    )
    lines = [line for line in log.lines if "key" in line]
    assert [line["answer"] for line in lines] == list(says)
    assert [line["choice"] for line in lines] == [
        *("red", "green", "blue"),  # right
        *("green", "green", "(none)"),  # the second of these is right
    ]
    assert (row.score.correct, row.metric) == (4, "right (by letter)")
    assert row.confusion["colour"]["blue"] == {"blue": 1, "(none)": 1}
    assert json.loads(row.model_dump_json())["score"]["n"] == 6


def test_options_follow_the_last_words() -> None:
    def asked(content: Any) -> Any:
        talk = {"messages": [{"role": "user", "content": content}]}
        return with_letters(talk, ["red", "blue"])["messages"][-1]["content"]

    options = "(A) red (B) blue\nAnswer with the letter."
    picture = {"type": "image_url", "image_url": {"url": "a.png"}}
    words = {"type": "text", "text": "Which?"}
    assert asked("Which?") == f"Which?\n{options}"
    assert asked([words, picture]) == [{"type": "text", "text": f"Which?\n{options}"}, picture]
    assert asked([picture]) == [picture, {"type": "text", "text": options}]
    assert words == {"type": "text", "text": "Which?"}, "what was given stays as it was"
