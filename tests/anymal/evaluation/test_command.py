import base64
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anymal.bundle import load as bundle
from anymal.bundle.parts import THIS_MACHINE
from anymal.cli.evaluate import eval_command
from anymal.errors import DataError
from anymal.evaluation.results import Results

app = typer.Typer()
app.command()(eval_command)


@pytest.fixture
def manifest(tmp_path: Path, colours: Any) -> Path:
    path = tmp_path / "colours.jsonl"
    rows = [colours.record(name, number=index) for index, name in enumerate(colours.names * 3)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch, colours: Any) -> list[dict[str, Any]]:
    """Bundles "looking" and "blind", and how they were loaded."""
    loaded: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> Any:
        loaded.append({"name": name, **options})
        return colours.assistant(is_blind=name == "blind")

    def start(assembled: Any, *, name: str, batch_size: int) -> Any:
        assert batch_size == 16
        return assembled

    monkeypatch.setattr("anymal.serving.precision.load_to_answer", load)
    monkeypatch.setattr("anymal.evaluation.answers.start_batch_assistant", start)
    monkeypatch.setattr("anymal.bundle.digest.bundle_digest", lambda name: f"digest of {name}")
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    return loaded


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_command_prints_a_table_and_writes_files(
    tmp_path: Path, manifest: Path, bundles: list[dict[str, Any]]
) -> None:
    out, answers = tmp_path / "out" / "figures.json", tmp_path / "answers.jsonl"
    text = run(
        "looking", "--suite", manifest, "--compare", "blind", "--out", out, "--answers", answers
    )
    for figure in ("colour", "100.0", "33.3", "+66.7", f"wrote {out}"):
        assert figure in text
    assert [item["name"] for item in bundles] == ["looking", "blind"]
    results = Results.read(out)
    assert (results.bundle, results.compared_with) == ("looking", "blind")
    assert results.settings["device"] == "cpu"
    assert out.with_suffix(".png").stat().st_size > 1000
    assert results.digest == "digest of looking"
    assert {"anymal", "torch", "python"} <= set(results.versions)
    assert "<html" in out.with_suffix(".html").read_text()
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert {line["asked_with"] for line in lines if "key" in line} == {
        *("media", "blank", "swapped", "other")
    }
    assert sum("key" in line for line in lines) == 4 * 9
    assert [line["task"] for line in lines if "values" in line] == ["colour"]


def test_a_folder_gets_all_files_and_is_resumed(
    tmp_path: Path, manifest: Path, bundles: list[dict[str, Any]]
) -> None:
    out = tmp_path / "run"
    options = ("--suite", manifest, "--perturb", "blur, noise", "--threads", "1")
    run("looking", *options, "--out", out)
    names = [f"report.{ending}" for ending in ("html", "json", "jsonl", "png")]
    assert sorted(path.name for path in out.iterdir()) == names
    before = [(out / name).read_bytes() for name in names]
    assert "blur" in Results.read(out / "report.json").tasks[0].perturbed
    run("looking", *options, "--out", out, "--resume")
    assert [(out / name).read_bytes() for name in names] == before


def test_a_benchmark_is_asked_from_its_official_files(
    tmp_path: Path, bundles: list[dict[str, Any]], colours: Any
) -> None:
    folder = tmp_path / "vqav2" / "val2014"
    folder.mkdir(parents=True)
    asked, annotated = [], []
    for number, name in enumerate(colours.names):
        url = colours.record(name)["messages"][0]["content"][0]["image_url"]["url"]
        picture = folder / f"COCO_val2014_{number:012d}.jpg"
        picture.write_bytes(base64.b64decode(url.partition(",")[2]))
        ids = {"question_id": number, "image_id": number}
        asked.append({**ids, "question": "Which colour?"})
        answers = [{"answer": name, "answer_id": n} for n in range(3)]
        answers += [{"answer": "it is green", "answer_id": n} for n in range(3, 10)]
        annotated.append({**ids, "answer_type": "other", "answers": answers})
    for key, rows, file in (
        ("questions", asked, "v2_OpenEnded_mscoco_val2014_questions.json"),
        ("annotations", annotated, "v2_mscoco_val2014_annotations.json"),
    ):
        (tmp_path / "vqav2" / file).write_text(json.dumps({key: rows}))
    text = run(
        *("looking", "--suite", "vqav2", "--data", tmp_path, "--no-controls"),
        *("--out", tmp_path / "r.json"),
    )
    (row,) = Results.read(tmp_path / "r.json").tasks
    assert row.metric == "VQA accuracy (official)"
    # It says "red" (3 of 10 people: 0.9), "it is green" (7 of 10: 1), "the picture is blue" (0).
    assert row.score.accuracy == pytest.approx((0.9 + 1 + 0) / 3)
    assert row.score.low < row.score.accuracy < row.score.high
    assert list(row.figures) == ["VQA accuracy (evalai)"]
    assert row.breakdown == {}
    assert "vqav2: VQA accuracy (official) 63.3; VQA accuracy (evalai) 63.3" in text


def test_an_unknown_suite_is_answered_with_those_that_there_are(
    bundles: list[dict[str, Any]],
) -> None:
    with pytest.raises(
        DataError, match=r"no suite and no data file 'cocoa'; give 'tiny', .*'coco'"
    ):
        run("looking", "--suite", "cocoa")
    with pytest.raises(DataError, match="nocaps: no folder given"):
        run("looking", "--suite", "nocaps")


def test_resume_needs_a_file(manifest: Path) -> None:
    with pytest.raises(DataError, match="give --out or --answers"):
        run("looking", "--suite", manifest, "--resume")


def test_threads_are_set(
    manifest: Path, bundles: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", numbers.append)
    monkeypatch.setattr("anymal.cli.evaluate._num_processors", lambda: 7)
    for options in ((), ("--threads", "5")):
        run("looking", "--suite", manifest, "--no-controls", *options)
    assert numbers == [3, 5]


def test_controls_can_be_left_out(manifest: Path, bundles: list[dict[str, Any]]) -> None:
    options = ("--no-controls", "--limit", "4", "--precision", "int8", "--device", "cpu")
    text = run("looking", "--suite", manifest, *options)
    assert "100.0" in text
    assert "33.3" in text, "chance is still shown"
    how = {"precision": "int8", "device": "cpu", "reach": THIS_MACHINE}
    assert bundles == [{"name": "looking", **how}]


def test_figures_are_reused_without_a_model(
    tmp_path: Path, manifest: Path, bundles: list[dict[str, Any]]
) -> None:
    out = tmp_path / "figures.json"
    run("looking", "--suite", manifest, "--out", out)
    bundles.clear()
    assert "100.0" in run("looking", "--reuse", out)
    assert bundles == []


def test_data_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv("ANYMAL_DATA", str(tmp_path / "absent"))
    text = run("looking", "--task", "scenes", "--task", "digits", "--limit", "2")
    assert f"skipped digits: no folder {tmp_path / 'absent'}" in text.replace("\n", "")


def test_tasks_skipped_for_one_reason_are_one_line(bundles: list[dict[str, Any]]) -> None:
    names = ("scenes", "digits", "signs")
    text = run("looking", *(one for name in names for one in ("--task", name)), "--limit", "2")
    assert text.count("skipped") == 1
    assert "skipped digits, signs: no data folder given" in text


def test_a_model_that_needs_media_is_not_asked_without_any(
    monkeypatch: pytest.MonkeyPatch, bundles: list[dict[str, Any]], colours: Any
) -> None:
    assistant = colours.assistant()
    assistant.processor.needs_media = True
    monkeypatch.setattr("anymal.serving.precision.load_to_answer", lambda *_, **__: assistant)
    text = run("looking", "--task", "scenes", "--task", "refused_absent", "--limit", "2")
    assert "skipped refused_absent: the bundle takes no" in text


def test_card_is_written_with_its_chart(
    tmp_path: Path, manifest: Path, bundles: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [{"origin": "world:colours", "licence": "CC0-1.0", "stage": "align"}]
    facts = bundle.Manifest.model_construct(data_sources=sources)
    monkeypatch.setattr(bundle, "describe", lambda name: facts)
    card = tmp_path / "docs" / "card.md"
    run("looking", "--suite", manifest, "--card", card)
    assert "| colour |" in card.read_text()
    assert "CC0-1.0" in card.read_text()
    assert card.with_suffix(".png").is_file()


def test_unknown_task_is_refused() -> None:
    with pytest.raises(DataError, match="unknown tasks"):
        run("looking", "--task", "smells")


def test_both_models_are_loaded_before_an_engine_takes_the_memory(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, colours: Any
) -> None:
    events: list[str] = []

    def load(name: str, **_: Any) -> Any:
        events.append(f"load {name}")
        return colours.assistant()

    def start(assembled: Any, *, name: str, batch_size: int) -> Any:
        events.append(f"start {name}")
        return assembled

    monkeypatch.setattr("anymal.serving.precision.load_to_answer", load)
    monkeypatch.setattr("anymal.evaluation.answers.start_batch_assistant", start)
    monkeypatch.setattr("anymal.bundle.digest.bundle_digest", lambda name: name)
    run("looking", "--suite", manifest, "--compare", "other", "--no-controls")
    assert events == ["load looking", "load other", "start looking", "start other"]
