import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from anymal.errors import DataError
from anymal.evaluation import suites
from anymal.evaluation.scoring import is_right, read_expected
from anymal.evaluation.suite_tables import (
    MIXED2,
    MIXED2_RECORDED,
    PLAYGROUND,
    RECORDED,
    REFUSALS,
)
from anymal.evaluation.suites import (
    Suite,
    laptop_suite,
    load_suites,
    select,
    tiny_suite,
    without_refusals,
)
from anymal.evaluation.task import Task


def test_targets_are_those_that_were_asked_for() -> None:
    targets = {name: entry.target for name, entry in {**PLAYGROUND, **RECORDED, **REFUSALS}.items()}
    assert targets == {
        "scenes": 95,
        "clips": 95,
        "sounds": 95,
        "motions": 95,
        "mixed": None,
        "later_turns": None,
        "digits": 89,
        "activities": 88,
        "signs": 93,
        "clothing": 79,
        "sign_clips": 80,
        "sign_and_speech": 85,
        "larger_digit": None,
        "refused_absent": 95,
        "refused_kind": 95,
        "refused_outside": 95,
        "false_refusals": 99,
    }


def test_the_chat_model_on_a_laptop_is_asked_about_a_speaker_whom_it_never_heard(
    recordings: Path,
) -> None:
    of_theo = len(list((recordings / "fsdd" / "recordings").glob("*_theo_*.wav")))
    suite = laptop_suite(recordings, size=4)
    tasks = {task.name: task for task in suite.tasks}
    assert list(tasks) == [*PLAYGROUND, *RECORDED]
    assert len(tasks["digits"].records) == of_theo > 0
    targets = {name: tasks[name].target for name in RECORDED}
    assert targets == {
        "digits": 98,
        "activities": 93,
        "signs": 97,
        "clothing": 82,
        "sign_clips": 88,
        "sign_and_speech": 95,
        "larger_digit": 90,
    }


@pytest.mark.parametrize("data", [None, Path("nowhere")])
def test_recorded_tasks_are_skipped_with_a_note(data: Path | None) -> None:
    suite = tiny_suite(data, size=7)
    assert [task.name for task in suite.tasks] == [*PLAYGROUND, *REFUSALS]
    assert {len(task.records) for task in suite.tasks} == {7}
    assert list(suite.skipped) == list(RECORDED)
    assert all("ANYMAL_DATA" in reason for reason in suite.skipped.values())


def test_every_true_answer_of_the_playground_is_right_and_no_other_is() -> None:
    for task in tiny_suite(None, size=12).tasks:
        expected = [read_expected(record) for record in task.records]
        answers = [record["messages"][-1]["content"] for record in task.records]
        for answer, want in zip(answers, expected, strict=True):
            assert is_right(answer, want), (answer, want)
        if task.name in REFUSALS:
            continue  # most have one right answer and no other
        wrong = [
            is_right(answer, want)
            for answer, truth in zip(answers, expected, strict=True)
            for want in expected
            if want.choices == truth.choices and want.choices and want.answer != truth.answer
        ]
        assert wrong
        assert not any(wrong)


def test_recorded_files_are_all_opened_and_drawn_ones_sized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, dict[str, Any]] = {}

    def open_fake(name: str) -> Any:
        def source(**options: Any) -> Sequence[dict[str, Any]]:
            asked[name] = options
            return [{}]

        return source

    class Fake:
        def __getattr__(self, name: str) -> Any:
            return open_fake(name)

    monkeypatch.setattr(suites, "import_module", lambda name: Fake())
    suite = tiny_suite(tmp_path, size=7, seed=3)
    assert not suite.skipped
    assert {options["split"] for options in asked.values()} == {"heldout"}
    assert asked["digits"] == {"split": "heldout", "seed": 3, "data": str(tmp_path)}
    assert asked["sign_clips"]["size"] == 7
    assert asked["scenes"] == {"split": "heldout", "seed": 3, "size": 7}


def test_manifests_join_the_suite(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"messages": [], "meta": {"task": "mine"}}))
    suite = load_suites(["tiny", str(path)], data=None, size=3)
    assert [task.name for task in suite.tasks] == [*PLAYGROUND, *REFUSALS, "mine"]
    with pytest.raises(DataError, match=r"\['mine'\] come from two suites"):
        load_suites([str(path), str(path)], data=None)


def test_mixed2_is_a_suite_of_whole_blocks(recordings: Path) -> None:
    suite = load_suites(["mixed2", "tiny"], data=None, size=21)
    sizes = {task.name: len(task.records) for task in suite.tasks}
    assert {name: sizes[name] for name in MIXED2} == {
        "mixed2_image_sound": 16,
        "mixed2_image_motion": 20,
        "mixed2_video_sound": 20,
    }
    assert [name for name in suite.skipped if name in MIXED2_RECORDED] == list(MIXED2_RECORDED)
    tasks = load_suites(["mixed2"], data=recordings, size=21).tasks
    assert [task.name for task in tasks] == [*MIXED2, *MIXED2_RECORDED]
    assert len(tasks[-1].records) == 20


def test_select_keeps_what_was_named() -> None:
    suite = Suite(
        tasks=[Task(name="a", records=[]), Task(name="b", records=[])], skipped={"c": "no data"}
    )
    assert select(suite, []) == suite
    chosen = select(suite, ["b", "c"])
    assert ([task.name for task in chosen.tasks], chosen.skipped) == (["b"], {"c": "no data"})
    with pytest.raises(DataError, match="this suite has: a, b, c"):
        select(suite, ["d"])


def test_a_model_that_needs_media_is_not_asked_without_any() -> None:
    suite = without_refusals(tiny_suite(None, size=1))
    assert [task.name for task in suite.tasks] == list(PLAYGROUND)
    assert list(suite.skipped) == [*RECORDED, *REFUSALS]
    assert "needs_media" in suite.skipped["refused_absent"]


def test_a_recipe_asks_its_held_out_records_as_it_trains(tmp_path: Path) -> None:
    row = {"image": "a.png", "text": "the cat", "box": [0, 0, 5, 5], "width": 10, "height": 10}
    (tmp_path / "held.jsonl").write_text(json.dumps(row) + "\n")
    prompt = '{templates: ["Where is {text}?"], answer: "{box}", coordinates: shikra}'
    entry = f"{{manifest: held.jsonl, name: refcoco, prompt: {prompt}, tag: refer}}"
    stage = f"""
  - {{name: NAME, kind: align, steps: 1, batch_size: 1, lr: 0.1,
     data: [{entry}], heldout: [{entry}]}}"""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "run_dir: run\nmodel: {llm: {path: 'tiny:llm'}, modalities: "
        "{image: {encoder: {kind: vision, path: 'tiny:encoders/image'}}}}\n"
        f"stages:{stage.replace('NAME', 'one')}{stage.replace('NAME', 'two')}\n"
    )
    [task] = load_suites([str(recipe)], data=None).tasks
    [record] = task.records
    assert (task.name, task.base_dir) == ("refcoco", tmp_path)
    assert record["messages"][0]["content"][1]["text"] == "[refer] Where is the cat?"
    expected = read_expected(record)
    assert is_right("[0.000,0.000,0.400,0.500]", expected)
    assert not is_right("[0.000,0.000,0.200,0.500]", expected)


def test_a_recipe_without_held_out_manifests_is_no_suite() -> None:
    with pytest.raises(
        DataError, match=r"quick\.yaml has no held-out records, or some of a Python"
    ):
        load_suites(["train/recipes/quick.yaml"], data=None)
