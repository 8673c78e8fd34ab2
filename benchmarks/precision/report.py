"""A precision study as a table in the docs and as a picture.

Does not train or serve; `study` does, and writes what is read here.

    .venv/bin/python -m benchmarks.precision.report
    .venv/bin/python -m benchmarks.precision.report runs/speech-*.json --section speech
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anymal.evaluation.intervals import Share, wilson

_COLOURS = {
    "fp32": "#2b6cb0",
    "bf16": "#2f855a",
    "int8": "#e0a458",
    "int4": "#805ad5",
    "nf4": "#c53030",
}
_STEP = 0.18  # between the marks of two pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One pair of precisions over all seeds.

    Attributes:
        losses: Held-out, one for each seed, in nats.
        accuracy: Right answers of all seeds together.
        agreement: Answers like those of the study's reference.
    """

    losses: tuple[float, ...]
    accuracy: Share
    agreement: Share


Pairs = Mapping[tuple[str, str], Pair]


def read_pairs(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Pair]:
    """Pool the rows of a study by (trained, served).

    Args:
        rows: `pairs` of the file.

    Returns:
        Those pairs that were measured, in the order of the study.
    """
    found: dict[tuple[str, str], Pair] = {}
    for key in dict.fromkeys((row["trained"], row["served"]) for row in rows):
        own = [row for row in rows if (row["trained"], row["served"]) == key]
        found[key] = Pair(
            losses=tuple(row["heldout_loss"] for row in own),
            accuracy=_pooled([row["accuracy"] for row in own]),
            agreement=_pooled([row["same_answers"] for row in own]),
        )
    return found


def _pooled(shares: Sequence[Mapping[str, Any]]) -> Share:
    """Shares of several seeds as one."""
    return wilson(sum(share["correct"] for share in shares), sum(share["n"] for share in shares))


def as_table(pairs: Pairs) -> str:
    """A row of Markdown for each pair."""
    lines = [
        "| trained at | served at | held-out loss | right answers, % | answers as reference, % |",
        "|---|---|---|---|---|",
    ]
    for (trained, served), pair in pairs.items():
        cells = (trained, served, _losses(pair), _percent(pair.accuracy), _percent(pair.agreement))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _losses(pair: Pair) -> str:
    mean = f"{fmean(pair.losses):.4f}"
    if len(pair.losses) == 1:
        return mean
    return f"{mean} ({min(pair.losses):.4f} to {max(pair.losses):.4f})"


def _percent(share: Share) -> str:
    return f"{100 * share.accuracy:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def in_docs(text: str, table: str, *, section: str) -> str:
    """Put the table between its marks.

    Args:
        text: Of the page.
        table: Markdown.
        section: Which table it is.

    Returns:
        The page.

    Raises:
        ValueError: The page lacks a mark.
    """
    opening = f"<!-- {section}: written by benchmarks.precision.report -->"
    closing = f"<!-- /{section} -->"
    before, begin, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise ValueError(
            f"the page has no {opening!r} and {closing!r}; write both where the table goes"
        )
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def draw(pairs: Pairs, path: Path) -> None:
    """Write a PNG: loss, accuracy and agreement of every pair.

    Args:
        pairs: From `read_pairs`.
        path: The PNG to write.
    """
    all_trained, all_served = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, right, same = figure.subplots(1, 3)
    _panel(losses, "held-out loss, nats (mean and range over seeds)", all_served)
    _panel(right, "right answers, % (95% interval)", all_served)
    _panel(same, "answers as the reference, % (95% interval)", all_served)
    for (trained, served), pair in pairs.items():
        lane = all_trained.index(trained) - (len(all_trained) - 1) / 2
        where = all_served.index(served) + lane * _STEP
        mean = fmean(pair.losses)
        _mark(losses, where, mean, min(pair.losses), max(pair.losses), trained)
        for axes, share in ((right, pair.accuracy), (same, pair.agreement)):
            ends = (100 * share.accuracy, 100 * share.low, 100 * share.high)
            _mark(axes, where, *ends, trained)
    handles = [losses.plot([], [], "o", color=_COLOURS[name])[0] for name in all_trained]
    labels = [f"trained at {name}" for name in all_trained]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _panel(axes: Axes, title: str, served: Sequence[str]) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xticks(range(len(served)), served)
    axes.set_xlabel("served at")
    axes.grid(axis="y", color="#c5c9d0", linewidth=0.5)


def _mark(axes: Axes, x: float, y: float, low: float, high: float, trained: str) -> None:
    axes.errorbar(
        x, y, yerr=[[y - low], [high - y]], fmt="o", markersize=4, color=_COLOURS[trained]
    )


def main() -> None:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(description="Report a precision study.")
    parser.add_argument(
        "studies", nargs="*", type=Path, default=[Path("benchmarks/results/precision.json")]
    )
    parser.add_argument("--docs", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument(
        "--section", default="precision", help="of the page, and the picture's name"
    )
    options = parser.parse_args()
    rows = [row for path in options.studies for row in json.loads(path.read_text())["pairs"]]
    pairs = read_pairs(rows)
    picture = options.docs.parent / "images" / f"{options.section}.png"
    draw(pairs, picture)
    where = os.path.relpath(picture, options.docs.parent)
    section = f"{as_table(pairs)}\n\n![The same as a picture]({where})"
    page = in_docs(options.docs.read_text(), section, section=options.section)
    options.docs.write_text(page)


if __name__ == "__main__":
    main()
