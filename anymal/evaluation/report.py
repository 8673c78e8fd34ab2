"""The figures of an evaluation as a table in the terminal.

Does not compute; it lays out `results.py`.
"""

from rich import box
from rich.table import Table
from rich.text import Text

from anymal.evaluation.intervals import Share
from anymal.evaluation.results import Results, TaskResult


def table(results: Results) -> Table:
    """The table that `anymal eval` prints.

    Args:
        results: The figures.

    Returns:
        One row for each task, in percent. Green and red say whether a target is reached and
        whether a control is at chance.
    """
    grid = Table(
        title=f"anymal eval {results.bundle}",
        caption="percent right; blank and swapped: the same with wrong media, should be at chance",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    is_compared = any(row.compared for row in results.tasks)
    headings = ("n", "right", "95% CI", "target", "ref.", "chance", "blank", "swapped")
    grid.add_column("task", no_wrap=True)
    for heading in (*headings, *(("other", "gain") if is_compared else ())):
        grid.add_column(heading, justify="right", no_wrap=True)
    for row in results.tasks:
        cells = [
            row.name,
            str(row.score.n),
            _verdict(percent(row.score.accuracy), row.is_target_met),
            interval(row.score),
            whole(row.target),
            whole(row.reference),
            percent(row.chance),
            _control(row, "blank"),
            _control(row, "swapped"),
        ]
        grid.add_row(*cells, *(_compared(row) if is_compared else ()))
    return grid


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f}"


def interval(share: Share) -> str:
    """The interval of a share in percent."""
    return f"{percent(share.low)}-{percent(share.high)}"


def gain(row: TaskResult) -> str:
    """The paired difference of a row, in points."""
    if row.compared is None:
        return "-"
    points = row.compared.gain
    return f"{100 * points.mean:+.1f} ({100 * points.low:+.1f} to {100 * points.high:+.1f})"


def whole(value: float | None) -> str:
    """A percentage that may be absent."""
    return "-" if value is None else f"{value:g}"


def _control(row: TaskResult, name: str) -> str | Text:
    """A control's accuracy, marked by whether it is at chance."""
    if name not in row.controls or row.controls[name].n == 0:
        return "-"
    return _verdict(percent(row.controls[name].accuracy), row.relies_on_media(name))


def _compared(row: TaskResult) -> tuple[str, str]:
    """The other bundle's accuracy and the gain over it."""
    if row.compared is None:
        return "-", "-"
    return percent(row.compared.score.accuracy), f"{100 * row.compared.gain.mean:+.1f}"


def _verdict(text: str, is_good: bool | None) -> str | Text:
    """A figure in green or red, or plain where nothing is expected."""
    return text if is_good is None else Text(text, style="green" if is_good else "bold red")
