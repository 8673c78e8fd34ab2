import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.data.rows import Record
from anymal.errors import DataError
from anymal.evaluation.benchmarks.registry import BENCHMARKS, open_benchmark
from anymal.evaluation.controls import media_of, prompt_of, text_of
from anymal.evaluation.metrics.base import Answer
from anymal.evaluation.scoring import read_expected
from anymal.evaluation.suites import Suite, without_refusals
from anymal.evaluation.task import Task
from anymal.protocol.conversation import read_conversation
from tests.anymal.evaluation.benchmarks.official import COCO_JPG, OFFICIAL, as_json, ten


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str], list[Task]]:
    """Opens a benchmark from a small official folder."""

    def opens(name: str) -> list[Task]:
        OFFICIAL[name](tmp_path)
        return open_benchmark(name, tmp_path)

    return opens


def medium(record: Record) -> dict[str, Any]:
    """The only medium of a record."""
    (part,) = media_of(prompt_of(record))
    return dict(part[part["type"]])


def right_answers(task: Task) -> list[Answer]:
    """What people answered; of choices, with all the likelihood."""
    answers = []
    for record in task.records:
        want = read_expected(record)
        likelihoods = tuple(0.0 if one == want.answer else -9.0 for one in want.choices)
        answers.append(Answer(text=want.answer, likelihoods=likelihoods))
    return answers


def test_every_benchmark_is_tried() -> None:
    assert OFFICIAL.keys() == BENCHMARKS.keys()


# Task -> the score's name, records, what the right answers reach.
ROWS = {
    "coco": {"coco": ("CIDEr-D (own tokens)", 2, None)},
    "coco2014": {"coco2014": ("CIDEr-D (own tokens)", 2, None)},
    "coco-karpathy": {"coco-karpathy": ("CIDEr-D (own tokens)", 2, None)},
    "flickr30k": {"flickr30k": ("CIDEr-D (own tokens)", 2, None)},
    "nocaps": {"nocaps": ("CIDEr-D (own tokens)", 2, None)},
    "vqav2": {"vqav2": ("VQA accuracy (official)", 2, 1.0)},
    "okvqa": {"okvqa": ("VQA accuracy (official)", 2, 1.0)},
    "textvqa": {"textvqa": ("VQA accuracy (evalai)", 1, 1.0)},
    "vizwiz": {"vizwiz": ("VQA accuracy (official)", 1, 1.0)},
    "scienceqa": {
        "scienceqa-image": ("right (letter)", 1, 1.0),
        "scienceqa-text": ("right (letter)", 1, 1.0),
    },
    "hateful-memes": {"hateful-memes": ("AUC (label probabilities)", 2, 1.0)},
    "audiocaps": {"audiocaps": ("CIDEr-D (own tokens)", 2, None)},
    "clotho": {"clotho": ("CIDEr-D (own tokens)", 1, 0.0)},  # of one sound, nothing is rare
    "nextqa": {"nextqa": ("right", 1, 1.0)},
    "star": {"star": ("right", 1, 1.0)},
    "how2qa": {"how2qa": ("right", 2, 1.0)},
    "msvdqa": {"msvdqa": ("exact match (VQA normalisation)", 1, 1.0)},
    "ego4d": {"ego4d": ("CIDEr-D (own tokens)", 1, 0.0)},
}


@pytest.mark.parametrize("name", ROWS)
def test_official_files_are_read(name: str, opened: Any) -> None:
    tasks = opened(name)
    assert {task.name for task in tasks} == ROWS[name].keys()
    for task in tasks:
        score, number, best = ROWS[name][task.name]
        expected = [read_expected(record, default_task=task.name) for record in task.records]
        for record in task.records:
            read_conversation(record)
            for part in media_of(prompt_of(record)):
                url = part[part["type"]]["url"]
                assert url.startswith("data:") or (task.base_dir / url).is_file()
        judged = task.judged_by[0].judge(right_answers(task), expected)
        assert (task.judged_by[0].name, len(judged.values)) == (score, number)
        assert judged.figure == pytest.approx(best) if best is not None else judged.figure > 1
        assert BENCHMARKS[name].note in task.note


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_missing_file_is_named_with_the_layout(name: str, tmp_path: Path) -> None:
    OFFICIAL[name](tmp_path)
    # A folder of sounds or videos that are gone from the web may be short of some, but not empty.
    for place in sorted(tmp_path.iterdir()):
        hidden = tmp_path.parent / "hidden"
        place.rename(hidden)
        with pytest.raises(DataError) as refused:
            open_benchmark(name, tmp_path)
        assert place.name.partition(".")[0] in str(refused.value)
        assert all(line in str(refused.value) for line in BENCHMARKS[name].layout)
        hidden.rename(place)
    assert open_benchmark(name, tmp_path)


@pytest.mark.parametrize("name", sorted(OFFICIAL.keys() - {"audiocaps", "how2qa", "scienceqa"}))
def test_a_missing_medium_is_an_error(name: str, tmp_path: Path) -> None:
    OFFICIAL[name](tmp_path)
    media = [path for path in tmp_path.rglob("*") if path.stat().st_size == 0] or [
        tmp_path / "imu" / "a-b-c.csv"
    ]
    media[0].unlink()
    with pytest.raises(DataError, match=rf"^{name}: 1 (media|videos) are not in"):
        open_benchmark(name, tmp_path)


def test_folders_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "vqav2").mkdir()
    OFFICIAL["vqav2"](tmp_path / "vqav2")
    (task,) = open_benchmark("vqav2", tmp_path)
    assert task.base_dir == tmp_path / "vqav2" / "val2014"
    with pytest.raises(DataError, match="vqav2: no folder given"):
        open_benchmark("vqav2", None)
    with pytest.raises(DataError, match=r"no folder .*absent"):
        open_benchmark("vqav2", tmp_path / "absent")


def test_files_of_another_shape_are_errors(tmp_path: Path) -> None:
    OFFICIAL["vizwiz"](tmp_path)
    path = tmp_path / "annotations" / "val.json"
    row = json.loads(path.read_text())[0]
    for value, words in (
        ({}, "holds no list of rows"),
        ([["x"]], "row 1 is no object"),
        ([row, {**row, "question": ""}], "row 2 has no question"),
        ([{**row, "answers": ["yes"]}], "no list of objects with an answer"),
    ):
        as_json(tmp_path, "annotations/val.json", value)
        with pytest.raises(DataError, match=words):
            open_benchmark("vizwiz", tmp_path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"val\.json is not JSON"):
        open_benchmark("vizwiz", tmp_path)


def test_a_caption_with_a_comma_that_is_not_quoted_is_an_error(tmp_path: Path) -> None:
    OFFICIAL["audiocaps"](tmp_path)
    with (tmp_path / "test.csv").open("a") as table:
        table.write("9,abc,30,A dog barks, then rain falls\n")
    with pytest.raises(DataError, match=r"test\.csv:\d+: 5 values for 4 columns"):
        open_benchmark("audiocaps", tmp_path)


def test_captions_are_asked_as_json(opened: Any) -> None:
    (task,) = opened("coco")
    record = task.records[0]
    assert "Reply in JSON" in text_of(prompt_of(record))
    assert medium(record) == {"url": "000000000042.jpg"}
    assert read_expected(record).references == (
        "A dog runs on a beach.",
        "A brown dog near the sea.",
    )
    expected = [read_expected(one) for one in task.records]
    plain, wrapped = (
        task.metrics[0].judge([Answer(text=text) for text in texts], expected)
        for texts in (
            ["a dog runs", "cats"],
            ['Sure: {"caption": "A dog runs."}', '{"caption": "cats"}'],
        )
    )
    assert plain.figure == wrapped.figure > 0
    # What is no such JSON is taken as it is.
    for odd in ('{"caption": ', '{"text": "cats"}', '["cats"]'):
        answers = [Answer(text=odd), Answer(text=odd)]
        assert task.metrics[0].judge(answers, expected).figure >= 0


def test_only_karpathys_test_split_is_read(opened: Any) -> None:
    (task,) = opened("coco-karpathy")
    assert [record["id"] for record in task.records] == [
        f"val2014/{COCO_JPG}",
        "val2014/COCO_val2014_000000000007.jpg",
    ]


def test_questions_get_their_own_annotations(opened: Any) -> None:
    (task,) = opened("vqav2")
    first, second = (read_expected(record) for record in task.records)
    assert (first.answer, first.task) == ("brown", "other")
    assert (second.answer, second.task) == ("no", "yes/no")
    assert first.references == tuple(one["answer"] for one in ten("brown", "tan"))
    assert text_of(prompt_of(task.records[0])).endswith(
        "In the image, What color is the dog? Reply in one word."
    )


def test_domains_and_subjects_break_scores_down(opened: Any) -> None:
    (task,) = opened("nocaps")
    kinds = [read_expected(record).task for record in task.records]
    assert kinds == ["near-domain", "out-domain"]


def test_science_names_options_by_letters(opened: Any) -> None:
    seen, unseen = opened("scienceqa")
    asked = text_of(prompt_of(seen.records[0]))
    assert "(A) West Virginia (B) Louisiana (C) Arizona (D) Oklahoma" in asked
    assert medium(seen.records[0]) == {"url": "4/image.png"}
    assert media_of(prompt_of(unseen.records[0])) == []
    assert not unseen.has_controls
    assert "Look north.\nWhich of these states" in text_of(prompt_of(unseen.records[0]))
    left = without_refusals(Suite(tasks=[seen, unseen]))
    assert ([task.name for task in left.tasks], list(left.skipped)) == (
        ["scienceqa-image"],
        ["scienceqa-text"],
    )


def test_memes_are_judged_by_probabilities(opened: Any) -> None:
    (task,) = opened("hateful-memes")
    assert task.judged_by[0].needs_likelihoods
    assert [read_expected(record).answer for record in task.records] == ["yes", "no"]
    assert "a nasty sentence" in text_of(prompt_of(task.records[0]))


def test_clips_gone_from_the_web_are_counted(opened: Any) -> None:
    (task,) = opened("audiocaps")
    assert "1 of 3 clips are not in the folder" in task.note
    assert [medium(record)["url"] for record in task.records] == [
        "vfY_TJq7n_U.wav",
        "tdWhHV3X25Q_60.flac",
    ]
    assert read_expected(task.records[0]).references == ("Rain falls", "It rains")


def test_videos_are_cut_to_the_stretch_that_is_asked_about(opened: Any, tmp_path: Path) -> None:
    (task,) = opened("star")
    assert medium(task.records[0]) == {"url": "6H78U.mp4", "start_s": 11.1, "end_s": 19.6}
    assert read_expected(task.records[0]).task == "Interaction"
    shutil.rmtree(tmp_path / "videos")
    (task,) = opened("how2qa")
    assert "1 of 3 questions have no video" in task.note
    whole, clip = (medium(record) for record in task.records)
    assert whole == {"url": "piYcgGdO8_w.webm", "start_s": 134.15, "end_s": 181.52}
    assert clip == {"url": "DQ6wpOD-h7g_60_120.mp4", "start_s": 3.5, "end_s": 20.0}
    choices = [read_expected(record).choices for record in task.records]
    assert sorted(choices[0]) == ["Brown", "Grey", "Red", "White"]
    assert choices == [
        read_expected(one).choices for one in open_benchmark("how2qa", tmp_path)[0].records
    ]


def test_open_questions_about_videos_ask_for_one_word(opened: Any) -> None:
    (task,) = opened("msvdqa")
    assert medium(task.records[0]) == {"url": "xBePrplM4OA_6_18.avi"}
    assert text_of(prompt_of(task.records[0])).endswith("using a single word or phrase.")
    expected = [read_expected(task.records[0])]
    (metric,) = task.metrics
    for text, value in (("A man.", 1), ("men", 0), ("a man slices", 0)):
        assert metric.judge([Answer(text=text)], expected).figure == value


def test_windows_of_motion_are_cut_out(opened: Any, tmp_path: Path) -> None:
    from anymal.media.imu import decode_imu
    from anymal.media.limits import Limits
    from anymal.media.source import read_source

    (task,) = opened("ego4d")
    source = read_source(medium(task.records[0])["url"], limits=Limits(), base_dir=None)
    motion = decode_imu(source, Limits())
    assert len(motion.samples) == 40  # two seconds at 20 Hz
    path = tmp_path / "imu" / "a-b-c.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:22]))
    with pytest.raises(DataError, match="1 samples from 1 to 3 s"):
        task.records[0]


def test_a_row_with_odd_values_is_named(tmp_path: Path) -> None:
    OFFICIAL["nextqa"](tmp_path)
    table = tmp_path / "val.csv"
    table.write_text(table.read_text().replace(",4,6,CH,", ",pat with hand,6,CH,"))
    (task,) = open_benchmark("nextqa", tmp_path)
    with pytest.raises(DataError, match="question 1 is not as published"):
        task.records[0]
