import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anymal.cli.console import plain_console
from anymal.errors import DataError
from anymal.evaluation.card import write_card
from anymal.evaluation.chart import draw_chart
from anymal.evaluation.intervals import Difference, wilson
from anymal.evaluation.report import perturbed_lines, table
from anymal.evaluation.results import Compared, Perturbed, Results, TaskResult

SOURCES = [
    {"stage": "audio", "origin": "world:sounds", "licence": "Apache-2.0", "records": 10},
    {"stage": "audio", "origin": "world:speech", "licence": "CC BY-SA 4.0", "records": 5},
    {"stage": "instruct", "origin": "world:speech", "licence": "CC BY-SA 4.0", "records": 5},
]


def row(name: str = "digits", **changes: Any) -> TaskResult:
    figures = {
        "name": name,
        "note": "spoken digits",
        "modalities": ["input_audio"],
        "score": wilson(93, 100),
        "chance": 0.1,
        "prior": 0.05,
        "controls": {
            "blank": wilson(9, 100),
            "swapped": wilson(40, 100),
            "wrong_medium": wilson(11, 100),
        },
        "follows_donor": wilson(92, 100),
        "breakdown": {"seven": wilson(8, 9)},
        "words": ["six", "seven"],
        "example": "Which digit? -> It is seven.",
        "target": 89.0,
        "reference": 94.0,
    }
    return TaskResult.model_validate(figures | changes)


def results(*rows: TaskResult, **changes: Any) -> Results:
    return Results(bundle="tiny", settings={}, tasks=list(rows), **changes)


COMPARED = Compared(score=wilson(50, 100), gain=Difference(mean=0.43, low=0.3, high=0.55))


def test_control_above_guessing_is_seen() -> None:
    measured = row()
    assert measured.relies_on_media("blank")
    assert not measured.relies_on_media("swapped")
    assert measured.is_target_met
    assert row(score=wilson(88, 100)).is_target_met is False
    assert row(target=None).is_target_met is None


def test_results_survive_the_file(tmp_path: Path) -> None:
    before = results(row(compared=COMPARED), skipped={"signs": "no data"}, compared_with="runs/a")
    before.write(tmp_path / "deep" / "results.json")
    assert Results.read(tmp_path / "deep" / "results.json") == before


def test_foreign_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the results"):
        Results.read(tmp_path / "none.json")
    path = tmp_path / "other.json"
    path.write_text('{"bundle": "tiny", "tasks": [{"name": 3}]}')
    with pytest.raises(DataError, match="run `anymal eval"):
        Results.read(path)


def test_changes_of_the_media_are_printed() -> None:
    change = Difference(mean=-0.05, low=-0.1, high=0.01)
    both = dict.fromkeys(("blur", "crop"), Perturbed(score=wilson(88, 100), change=change))
    assert perturbed_lines(results(row(perturbed=both), row("others"))) == [
        "digits: change in points by blur -5.0 (-10.0 to +1.0); crop -5.0 (-10.0 to +1.0)"
    ]


@pytest.mark.parametrize("width", [40, 160])
def test_table_shows_every_figure(width: int) -> None:
    console = plain_console(width=width, file=io.StringIO())
    console.print(table(results(row(compared=COMPARED), row("open", controls={}, target=None))))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    for figure in (
        "digits",
        "93.0",
        "86.3-96.6",
        "89",
        "94",
        "10.0",
        "9.0",
        "40.0",
        "50.0",
        "+43.0",
    ):
        assert figure in text


def test_table_has_no_empty_columns() -> None:
    plain = row("open", controls={}, target=None, reference=None)
    headings = [str(column.header) for column in table(results(plain)).columns]
    assert headings == ["task", "n", "right", "95% CI", "chance"]
    assert len(table(results(plain, row(compared=COMPARED))).columns) > 9


def test_chart_is_a_picture(tmp_path: Path) -> None:
    draw_chart(results(row(), row("open", controls={}, target=None)), tmp_path / "a" / "chart.png")
    with Image.open(tmp_path / "a" / "chart.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1_000_000) or []) > 20


def test_card_takes_every_figure_from_the_results(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "model-card.md"
    given = results(
        row(compared=COMPARED),
        row("activities", score=wilson(85, 100), target=88.0),
        skipped={"signs": "no data folder given"},
        compared_with="runs/tiny/align",
    )
    write_card(given, SOURCES, path)
    card = path.read_text()
    assert "| digits | spoken digits | 100 | **93.0** | 86.3-96.6 | 89 (met) | 94 | 10.0 |" in card
    assert "88 (missed)" in card
    assert "| digits | 93.0 | 9.0 | 40.0 \\* | 11.0 | 10.0 | 92.0 |" in card
    assert "| digits | 50.0 | 93.0 | +43.0 (+30.0 to +55.0) |" in card
    assert "Not measured: signs (no data folder given)." in card
    assert "| `world:speech` | CC BY-SA 4.0 | audio, instruct |" in card
    assert "anymal eval tiny --compare runs/tiny/align --card docs/model-card.md" in card
    assert "CC BY-NC-SA 4.0" in card
    assert "six, seven" in card
    assert "(model-card.png)" in card
    assert "{" not in card
    assert card.isascii()


def test_card_leaves_out_what_was_not_compared(tmp_path: Path) -> None:
    write_card(results(row()), [], tmp_path / "card.md")
    card = (tmp_path / "card.md").read_text()
    assert "Before and after" not in card
    assert "As the bundle records them" not in card
