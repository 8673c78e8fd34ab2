"""Writes the figures of an evaluation as one HTML file that loads nothing from anywhere.

Does not compute figures. A model's words are escaped by the template, like everything else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from anymal.evaluation.html.examples import Example
from anymal.evaluation.intervals import Share
from anymal.evaluation.report import percent, points, spread
from anymal.evaluation.results import Results, TaskResult

TRUE_MEDIA = "true media"
_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_WIDTH = 240  # of a bar that reaches the end, in pixels
_COLOURS = {
    TRUE_MEDIA: "#7aa6d8",
    "blank": "#b4bac4",
    "swapped": "#e6b87a",
    "wrong_medium": "#d39bc0",
}
_OTHER_COLOUR = "#a3bf93"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of a chart; lengths in pixels.

    Attributes:
        label: What was measured.
        figure: In percent, with its interval.
        colour: Of the bar.
        length: Of the bar.
        low: Where its interval begins.
        high: Where it ends.
        guess: Where guessing ends; None where it is not known.
        target: Where the target is; None where there is none.
    """

    label: str
    figure: str
    colour: str
    length: float
    low: float
    high: float
    guess: float | None = None
    target: float | None = None


def write_page(
    results: Results, path: Path, *, examples: Mapping[str, Sequence[Example]] | None = None
) -> None:
    """Write the page.

    Args:
        results: The figures.
        path: The HTML file.
        examples: Of each task, its worst answers; None where the answers are not at hand.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "spread": spread, "points": points}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        results=results,
        examples=examples,
        width=_WIDTH,
        scores={row.name: _score_bar(row) for row in results.tasks},
        controls={row.name: _control_bars(row) for row in results.tasks if row.controls},
        perturbed={row.name: _perturbed_bars(row) for row in results.tasks if row.perturbed},
        choices=_choices,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _score_bar(row: TaskResult) -> Bar:
    return _bar(TRUE_MEDIA, row.score, row, target=row.target)


def _control_bars(row: TaskResult) -> list[Bar]:
    """The true media, then each control."""
    controls = [_bar(name, share, row) for name, share in row.controls.items()]
    return [_bar(TRUE_MEDIA, row.score, row), *controls]


def _perturbed_bars(row: TaskResult) -> list[Bar]:
    """The true media, then each perturbation."""
    changed = [_bar(name, one.score, row) for name, one in row.perturbed.items()]
    return [_bar(TRUE_MEDIA, row.score, row), *changed]


def _bar(label: str, share: Share, row: TaskResult, *, target: float | None = None) -> Bar:
    """A bar on the scale of its task: to 100%, or to its metric's highest figure."""
    unit = _WIDTH / max(1.0, row.score.high)
    return Bar(
        label=label.replace("_", " "),
        figure=spread(share),
        colour=_COLOURS.get(label, _OTHER_COLOUR),
        length=unit * share.accuracy,
        low=unit * share.low,
        high=unit * share.high,
        guess=unit * row.baseline,
        target=None if target is None else unit * target / 100,
    )


def _choices(table: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The columns of a table of confusion: right answers first, in their order, then others."""
    named: Iterable[str] = sorted({name for row in table.values() for name in row})
    return list(dict.fromkeys([*table, *named]))
