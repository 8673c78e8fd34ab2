"""The figures of an evaluation, or of a comparison of two, as a table in the terminal.

Does not compute; it lays out `results.py` and `compare.py`.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from anymal.evaluation.compare import Pair
from anymal.evaluation.intervals import Difference, Share
from anymal.evaluation.questions import WITHOUT
from anymal.evaluation.results import RIGHT, Results, TaskResult

NONE = "-"  # where there is no figure
_WIDEST = 1000  # in characters; wider than any table
# The headings of the controls; of those with a medium left out, the best one is shown.
_CONTROLS = {"blank": "blank", "swapped": "swapped", "wrong_medium": "wrong", WITHOUT: "without"}


def table(results: Results) -> Table:
    """The table that `anymal eval` prints.

    Args:
        results: The figures.

    Returns:
        One row for each task, in percent, without columns in which there is nothing. Green and red
        say whether a target is reached and whether a control is at chance.
    """
    grid = Table(
        title=f"anymal eval {results.bundle}",
        caption="percent right; the last ones: with other media, should be at chance",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    headings = ("n", "right", "95% CI", "target", "ref.", "chance", *_CONTROLS.values())
    columns = {"task": [row.name for row in results.tasks]} | {
        heading: list(cells)
        for heading, cells in zip(
            (*headings, "other", "gain"), zip(*map(_cells, results.tasks), strict=True), strict=True
        )
        if any(cell != NONE for cell in cells)
    }
    for heading in columns:
        grid.add_column(heading, justify="left" if heading == "task" else "right", no_wrap=True)
    for cells in zip(*columns.values(), strict=True):
        grid.add_row(*cells)
    # Rich would cut figures where the terminal is narrower than they are.
    grid.width = Console(width=_WIDEST).measure(grid).maximum
    return grid


def _cells(row: TaskResult) -> list[str | Text]:
    """One row of the table behind its name."""
    return [
        str(row.score.n),
        _verdict(percent(row.score.accuracy), row.is_target_met),
        interval(row.score),
        whole(row.target),
        whole(row.reference),
        percent(row.chance),
        *(_control(row, name) for name in _CONTROLS),
        *_compared(row),
    ]


def metric_lines(results: Results) -> list[str]:
    """One line for each task that has metrics of its own: what its score is, and the others."""
    return [
        f"{row.name}: {row.metric} {percent(row.score.accuracy)}"
        + "".join(f"; {name} {percent(share.accuracy)}" for name, share in row.figures.items())
        for row in results.tasks
        if row.metric != RIGHT
    ]


def perturbed_lines(results: Results) -> list[str]:
    """One line for each task whose media were perturbed: the change by each, in points."""
    return [
        f"{row.name}: change in points by "
        + "; ".join(f"{how} {points(one.change)}" for how, one in row.perturbed.items())
        for row in results.tasks
        if row.perturbed
    ]


def comparison_table(pairs: Sequence[Pair]) -> Table:
    """The table that `anymal eval compare` prints: one row for each task, in percent."""
    grid = Table(
        caption="percent; gain: B minus A in points, with its 95% interval, paired by question",
        caption_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    grid.add_column("task", no_wrap=True)
    for heading in ("n", "A", "B", "gain", "A better", "B better"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    for pair in pairs:
        figures = (percent(pair.a.accuracy), percent(pair.b.accuracy), points(pair.gain))
        counts = (str(pair.worse), str(pair.better))
        grid.add_row(pair.task, str(pair.n), *figures, *counts, pair.verdict)
    return grid


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f}"


def interval(share: Share) -> str:
    """The interval of a share in percent."""
    return f"{percent(share.low)}-{percent(share.high)}"


def spread(share: Share) -> str:
    """A figure in percent with its interval."""
    return f"{percent(share.accuracy)} ({percent(share.low)} to {percent(share.high)})"


def points(difference: Difference) -> str:
    """A difference in points with its interval."""
    figures = (100 * value for value in (difference.mean, difference.low, difference.high))
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*figures)


def gain(row: TaskResult) -> str:
    """The paired difference of a row, in points."""
    return NONE if row.compared is None else points(row.compared.gain)


def whole(value: float | None) -> str:
    """A percentage that may be absent."""
    return NONE if value is None else f"{value:g}"


def _control(row: TaskResult, name: str) -> str | Text:
    """A control's accuracy, marked by whether it is at chance."""
    if name == WITHOUT:
        left = [share for label, share in row.controls.items() if label.startswith(WITHOUT)]
        # Not marked: a question may be about one of several media.
        return percent(max(share.accuracy for share in left)) if left else NONE
    if name not in row.controls or row.controls[name].n == 0:
        return NONE
    return _verdict(percent(row.controls[name].accuracy), row.relies_on_media(name))


def _compared(row: TaskResult) -> tuple[str, str]:
    """The other bundle's accuracy and the gain over it."""
    if row.compared is None:
        return NONE, NONE
    return percent(row.compared.score.accuracy), f"{100 * row.compared.gain.mean:+.1f}"


def _verdict(text: str, is_good: bool | None) -> str | Text:
    """A figure in green or red, or plain where nothing is expected."""
    return text if is_good is None else Text(text, style="green" if is_good else "bold red")
