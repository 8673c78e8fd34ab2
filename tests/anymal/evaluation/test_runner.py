from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from anymal.errors import ConversationError, DataError
from anymal.evaluation.answer_log import AnswerLog
from anymal.evaluation.answered import Answered
from anymal.evaluation.intervals import wilson
from anymal.evaluation.metrics.base import Judged
from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.runner import evaluate
from anymal.evaluation.scoring import is_right
from anymal.evaluation.task import Task


@pytest.fixture
def records(colours: Any) -> list[dict[str, Any]]:
    return [colours.record(name, number=index) for index, name in enumerate(colours.names * 4)]


def test_a_model_that_looks_falls_to_chance_without_its_media(
    colours: Any, records: list[dict[str, Any]]
) -> None:
    (row,) = evaluate(colours.assistant(), {"colours": records}, bundle="fake").tasks
    assert (row.score.n, row.score.accuracy) == (12, 1.0)
    assert row.chance == pytest.approx(1 / 3)
    assert row.controls["blank"].accuracy == pytest.approx(1 / 3)
    assert row.controls["swapped"].accuracy == 0
    assert row.follows_donor is not None
    assert row.follows_donor.accuracy == 1
    assert row.relies_on_media("blank")
    assert row.relies_on_media("swapped")
    assert row.modalities == ["image_url"]
    assert row.words == ["red", "green", "blue"]
    assert {name: share.n for name, share in row.breakdown.items()} == dict.fromkeys(
        colours.names, 4
    )


def test_a_blind_model_is_found_out(colours: Any, records: list[dict[str, Any]]) -> None:
    reds = [colours.record("red", number=index) for index in range(20)]
    (row,) = evaluate(colours.assistant(is_blind=True), {"colours": [*records, *reds]}).tasks
    assert row.score.accuracy == row.controls["blank"].accuracy == 24 / 32
    assert row.baseline == 24 / 32, "guessing red from the question does as well"
    assert row.follows_donor is not None
    assert row.follows_donor.accuracy < 1


def test_question_is_asked_without_its_answer(colours: Any, records: list[dict[str, Any]]) -> None:
    (row,) = evaluate(colours.assistant(), {"colours": records[:1]}, controls=()).tasks
    assert row.example == "Which colour? -> red"
    assert row.controls == {}
    assert row.follows_donor is None


def test_a_task_may_have_no_controls(colours: Any, records: list[dict[str, Any]]) -> None:
    task = Task(name="refusals", records=records, has_controls=False)
    (row,) = evaluate(colours.assistant(), [task]).tasks
    assert row.score.n == 12
    assert row.controls == {}
    assert row.follows_donor is None


def test_batches_do_not_change_the_answers(colours: Any, records: list[dict[str, Any]]) -> None:
    results = []
    for batch_size in (1, 5, 64):
        assistant = colours.assistant()
        log = AnswerLog()
        asked: list[Answered] = []

        def keep(_: Task, true: Answered, asked: list[Answered] = asked) -> None:
            asked.append(true)

        found = evaluate(
            assistant,
            {"c": records},
            batch_size=batch_size,
            log=log,
            watch=keep,
        )
        results.append(found.tasks)
        assert 1 <= assistant.engine.most_at_once <= batch_size
        (true,) = asked
        texts = [reply.text for reply in true.replies]
        assert texts[:3] == ["red", "it is green", "the picture is blue"]
        assert len(log.replies) == 36
    assert results[0] == results[1] == results[2]


def test_limit_takes_that_many_of_each_task(colours: Any, records: list[dict[str, Any]]) -> None:
    results = evaluate(colours.assistant(), {"a": records, "b": records[:2]}, limit=5)
    assert [row.score.n for row in results.tasks] == [5, 2]
    assert results.settings["limit"] == 5


def test_two_models_are_paired_by_question(colours: Any, records: list[dict[str, Any]]) -> None:
    blind = colours.assistant(is_blind=True)
    (row,) = evaluate(colours.assistant(), {"c": records}, other=blind).tasks
    assert row.compared is not None
    assert row.compared.score.accuracy == pytest.approx(1 / 3)
    assert row.compared.gain.mean == pytest.approx(2 / 3)
    assert row.compared.gain.low > 0


def test_progress_ends_at_the_number_of_questions(
    colours: Any, records: list[dict[str, Any]]
) -> None:
    heard: list[tuple[str, int, int]] = []
    evaluate(
        colours.assistant(),
        {"c": records},
        batch_size=8,
        progress=lambda label, done, of: heard.append((label, done, of)),
    )
    assert heard[:12] == [("c (media)", done, 12) for done in range(1, 13)]
    assert {label for label, _, _ in heard} == {"c (media)", "c (blank)", "c (swapped)"}


def test_kinds_of_question_are_broken_down(colours: Any, records: list[dict[str, Any]]) -> None:
    other = [{**item, "meta": {**item["meta"], "task": "hue"}} for item in records[:3]]
    (row,) = evaluate(colours.assistant(), {"c": [*records, *other]}, controls=()).tasks
    assert {name: share.n for name, share in row.breakdown.items()} == {"colour": 12, "hue": 3}


def test_paths_are_read_from_the_base_folder(colours: Any, tmp_path: Path) -> None:
    PillowImage.new("RGB", (4, 4), (0, 0, 220)).save(tmp_path / "blue.png")
    item = colours.record("blue")
    item["messages"][0]["content"][0] = {"type": "image_url", "image_url": {"url": "blue.png"}}
    task = Task(name="files", records=[item], base_dir=tmp_path)
    (row,) = evaluate(colours.assistant(), [task], controls=["blank"]).tasks
    assert row.score.accuracy == 1
    assert row.controls["blank"].accuracy == 0


def test_own_scorer_is_used(colours: Any, records: list[dict[str, Any]]) -> None:
    task = Task(name="c", records=records, scorer=lambda text, expected: "picture" in text)
    (row,) = evaluate(colours.assistant(), [task], controls=()).tasks
    assert row.score.accuracy == pytest.approx(1 / 3)


def test_unusable_input_is_refused(colours: Any, records: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="unknown controls"):
        evaluate(colours.assistant(), {"c": records}, controls=["upside down"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="'c' has no records"):
        evaluate(colours.assistant(), {"c": []})
    with pytest.raises(DataError, match=r"no meta\.answer"):
        evaluate(colours.assistant(), {"c": [{**records[0], "meta": {}}]})
    sound = {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,AA=="}}
    item = {**records[0], "messages": [{"role": "user", "content": [sound]}]}
    with pytest.raises(ConversationError, match="audio_url"):
        evaluate(colours.assistant(), {"c": [item]})


def test_open_questions_are_not_guessed(colours: Any, records: list[dict[str, Any]]) -> None:
    open_item = {**records[0], "meta": {"task": "say", "answer": "red"}}
    (row,) = evaluate(colours.assistant(), {"c": [records[0], open_item]}, controls=()).tasks
    assert row.chance == pytest.approx(1 / 6)
    (row,) = evaluate(colours.assistant(), {"c": [open_item] * 2}, controls=()).tasks
    assert row.chance == 1


def test_questions_about_one_picture_count_together(colours: Any) -> None:
    same = [colours.record(name, number=0) for name in colours.names * 8]
    (row,) = evaluate(colours.assistant(), {"c": same}, controls=()).tasks
    assert (row.score.n, row.num_media) == (24, 3)
    assert row.score.low == pytest.approx(wilson(3, 3).low)
    own = [colours.record(name, number=index) for index, name in enumerate(colours.names * 8)]
    (row,) = evaluate(colours.assistant(), {"c": own}, controls=()).tasks
    assert (row.num_media, row.score) == (24, wilson(24, 24))


def test_report_says_what_was_asked_and_what_was_mistaken(
    colours: Any, records: list[dict[str, Any]]
) -> None:
    results = evaluate(colours.assistant(is_blind=True), {"c": records}, controls=())
    (row,) = results.tasks
    assert row.confusion == {"colour": {name: {"red": 4} for name in colours.names}}
    assert {name: share.correct for name, share in row.hygiene.items()} == {
        "token_limit": 0,
        "empty": 0,
        "echo": 0,
    }
    assert "<image: 4>" in row.prompt
    assert results.settings["seed"] == 0


def test_share_of_the_only_medium_is_what_blanking_changes(
    colours: Any, records: list[dict[str, Any]]
) -> None:
    (row,) = evaluate(colours.assistant(), {"c": records}).tasks
    # The model says red about a blank picture, so that answers about red ones stay.
    assert row.share["image"].accuracy == pytest.approx(2 / 3)
    assert "wrong_medium" not in row.controls, "the model takes images only"


class Length:
    """A metric with values of its own: words of an answer, beside how far it is from the last."""

    name = "length (words)"
    chance = 0.5
    needs_likelihoods = False

    def judge(self, answers: Any, expected: Any) -> Judged:
        values = np.array([float(len(one.text.split())) for one in answers])
        return Judged(values=values, highest=4)


def test_a_task_may_have_metrics_of_its_own(colours: Any, records: list[dict[str, Any]]) -> None:
    task = Task(name="c", records=records, metrics=(Length(), RightOrWrong(scorer=is_right)))
    (row,) = evaluate(colours.assistant(), [task], controls=["blank"]).tasks
    assert (row.metric, row.baseline) == ("length (words)", 0.5)
    assert row.score.accuracy == pytest.approx((1 + 3 + 4) / 3)
    assert row.score.low < row.score.accuracy < row.score.high
    assert row.controls["blank"].accuracy == 1
    assert row.figures["right"].accuracy == 1


def test_perturbed_media_are_compared_with_the_true_ones(
    colours: Any, records: list[dict[str, Any]]
) -> None:
    (row,) = evaluate(
        colours.assistant(), {"c": records}, controls=(), perturbations=["blur", "shift"]
    ).tasks
    assert list(row.perturbed) == ["blur", "shift"]
    assert row.perturbed["blur"].score.accuracy == 1
    assert row.perturbed["blur"].change.mean == 0
