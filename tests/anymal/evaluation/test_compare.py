import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anymal.cli.compare import compare_command
from anymal.errors import DataError
from anymal.evaluation.answer_log import AnswerLog, Valued
from anymal.evaluation.compare import compare


def write(path: Path, *values: float, task: str = "colours", first: int = 0, **facts: Any) -> Path:
    """A log of one finished task, in which each question has a medium of its own."""
    log = AnswerLog(path, resume=True)
    questions = [
        Valued(asked=f"q{index}", medium=f"m{index}", value=value)
        for index, value in enumerate(values, start=first)
    ]
    log.add_values(
        task,
        facts.get("metric", "right"),
        questions,
        is_mean=facts.get("mean", True),
        highest=facts.get("highest", 1.0),
    )
    log.close()
    return path


def test_an_evaluation_equals_itself(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", *[1, 1, 0] * 50)
    (pair,) = compare(a, a).pairs
    assert (pair.verdict, pair.n, pair.gain.mean, pair.gain.low, pair.gain.high) == (
        "equal",
        150,
        0,
        0,
        0,
    )


@pytest.mark.parametrize("num_questions", [100, 300])
def test_one_answer_in_ten_made_worse_is_seen(tmp_path: Path, num_questions: int) -> None:
    right = [1.0] * num_questions
    worse = [0.0 if index % 10 == 0 else 1.0 for index in range(num_questions)]
    a, b = write(tmp_path / "a.jsonl", *right), write(tmp_path / "b.jsonl", *worse)
    (pair,) = compare(a, b).pairs
    assert pair.verdict == "A is better"
    assert pair.gain.mean == pytest.approx(-0.1)
    assert pair.gain.low < -0.1 < pair.gain.high < 0
    assert (pair.worse, pair.better) == (num_questions // 10, 0)
    (pair,) = compare(b, a).pairs
    assert pair.verdict == "B is better"


@pytest.mark.parametrize("num_questions", [1, 3])
def test_a_few_questions_prove_nothing(tmp_path: Path, num_questions: int) -> None:
    a = write(tmp_path / "a.jsonl", *[0.0] * num_questions)
    b = write(tmp_path / "b.jsonl", *[1.0] * num_questions)
    (pair,) = compare(a, b).pairs
    assert (pair.verdict, pair.gain.mean, pair.better) == ("no difference shown", 1, num_questions)
    assert pair.gain.low < 0


def test_a_caption_of_low_value_is_compared_on_the_scale_of_its_metric(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", 0.3, highest=10.0)
    b = write(tmp_path / "b.jsonl", 0.6, highest=10.0)
    (pair,) = compare(a, b).pairs
    assert pair.a.high > 7  # Wilson's interval of one question, up to 10
    assert pair.gain.low < -5 < 5 < pair.gain.high


def test_a_folder_of_an_evaluation_can_be_named(tmp_path: Path) -> None:
    a = write(tmp_path / "report.jsonl", 1, 0)
    (pair,) = compare(tmp_path, a).pairs
    assert pair.verdict == "equal"


def test_the_last_evaluation_of_a_task_counts_though_it_repeats_an_earlier_one(
    tmp_path: Path,
) -> None:
    for values in ([1, 1], [0], [1, 1]):
        a = write(tmp_path / "a.jsonl", *values)
    (pair,) = compare(a, a).pairs
    assert (pair.n, pair.a.correct) == (2, 2)


def test_a_few_changes_both_ways_show_nothing(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", *[1, 0] * 5, *[1] * 90)
    b = write(tmp_path / "b.jsonl", *[0, 1] * 5, *[1] * 90)
    (pair,) = compare(a, b).pairs
    assert (pair.verdict, pair.better, pair.worse) == ("no difference shown", 5, 5)


def test_only_questions_of_both_are_paired(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", 1, 1, 1, 1)
    b = write(tmp_path / "b.jsonl", 0, 0, 1, first=2)
    (pair,) = compare(a, b).pairs
    assert (pair.n, pair.only_one, pair.a.n, pair.b.correct) == (2, 3, 2, 0)


def test_what_cannot_be_compared_is_left_out_with_the_reason(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", 1, 0)
    b = write(tmp_path / "b.jsonl", 1, 0)
    write(a, 1, task="only a")
    for path, metric in ((a, "x"), (b, "y")):
        write(path, 1, task="captions", metric="BLEU-4", mean=False)
        write(path, 1, task="other metric", metric=metric)
        write(path, 1, task="other questions", first=1 if path == a else 7)
    write(b, 1, task="begun")
    with a.open("a") as file:
        line = {"key": "k", "task": "begun", "answer": "", "ended": "stop"}
        file.write(json.dumps(line) + "\n")
    comparison = compare(a, b)
    assert [pair.task for pair in comparison.pairs] == ["colours"]
    assert comparison.left_out["only a"] == "B does not hold it"
    assert "anymal eval A --compare B" in comparison.left_out["captions"]
    assert "A was measured by 'x' and B by 'y'" in comparison.left_out["other metric"]
    assert comparison.left_out["other questions"] == "no question was put to both"
    assert "--resume" in comparison.left_out["begun"]


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", 1)
    b = write(tmp_path / "b.jsonl", 1, task="another")
    with pytest.raises(DataError, match="nothing to compare"):
        compare(a, b)
    with pytest.raises(DataError, match="is a folder without report"):
        compare(a, tmp_path)
    with pytest.raises(DataError, match="cannot read the answers"):
        compare(a, tmp_path / "none.json")


def test_command_prints_the_verdicts(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(compare_command)
    a = write(tmp_path / "a.jsonl", *[1] * 50)
    write(tmp_path / "b.jsonl", *[1] * 40, *[0] * 10)
    figures = tmp_path / "b.json"  # whose answers are beside it
    result = CliRunner().invoke(app, [str(a), str(figures)], catch_exceptions=False)
    assert "colours 50 100.0 80.0 -20.0 (-32.0 to -10.0)" in " ".join(result.output.split())
    assert "A is better" in result.output
    result = CliRunner().invoke(app, [str(a), str(a), "--json"], catch_exceptions=False)
    assert json.loads(result.output)["tasks"][0]["verdict"] == "equal"
