"""Draws the figures of an evaluation as a bar chart.

Does not touch matplotlib's global state, so it works without a display and inside a service.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anymal.evaluation.results import Results, TaskResult

_TRUE = "true media"
_BAR = 0.26
_COLOURS = {_TRUE: "#2b6cb0", "blank": "#c5c9d0", "swapped": "#e0a458"}


def draw_chart(results: Results, path: Path) -> None:
    """Write a PNG: for each task the accuracy, its controls, chance and target.

    Args:
        results: The figures.
        path: The PNG to write.
    """
    figure = Figure(figsize=(9, 1.6 + 0.75 * len(results.tasks)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for lane, label in enumerate(_COLOURS):
        _draw_bars(axes, results.tasks, label, offset=(lane - 1) * _BAR)
    _draw_marks(axes, [100 * row.chance for row in results.tasks], "#c53030", "chance")
    _draw_marks(axes, [row.target for row in results.tasks], "#2f855a", "target")
    axes.set_yticks(range(len(results.tasks)), [row.name for row in results.tasks])
    axes.invert_yaxis()
    axes.set_xlim(0, 101)
    axes.set_xlabel("right answers, % (95% interval)")
    axes.set_title(f"anymal eval {results.bundle}")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw_bars(axes: Axes, rows: Sequence[TaskResult], label: str, *, offset: float) -> None:
    """The bars of one kind of medium, those tasks left out that lack it."""
    shares = [{_TRUE: row.score, **row.controls}.get(label) for row in rows]
    bars = [(place, share) for place, share in enumerate(shares) if share is not None]
    if not bars:
        return
    errors = [
        [100 * (share.accuracy - share.low) for _, share in bars],
        [100 * (share.high - share.accuracy) for _, share in bars],
    ]
    axes.barh(
        [place + offset for place, _ in bars],
        [100 * share.accuracy for _, share in bars],
        height=_BAR,
        xerr=errors,
        color=_COLOURS[label],
        ecolor="#444444",
        label=label,
    )


def _draw_marks(axes: Axes, values: Sequence[float | None], colour: str, label: str) -> None:
    """An upright line at a value of each task."""
    marks = [(place, value) for place, value in enumerate(values) if value is not None]
    if marks:
        places = [place for place, _ in marks]
        axes.vlines(
            [value for _, value in marks],
            [place - 1.5 * _BAR for place in places],
            [place + 1.5 * _BAR for place in places],
            colors=colour,
            linestyles="dashed",
            label=label,
        )
