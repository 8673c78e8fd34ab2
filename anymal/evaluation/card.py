"""Writes the built-in model's card: tables from measured figures between hand-written sections.

Does not measure, and knows no figure of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.evaluation import card_text
from anymal.evaluation.report import gain, interval, percent, whole
from anymal.evaluation.results import Results, TaskResult


def write_card(results: Results, data_sources: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the model card as Markdown, with a chart that is expected beside it.

    Args:
        results: Figures of the built-in model, or of the bundle that is to become it.
        data_sources: What it was trained on, from its bundle.
        path: The Markdown file.
    """
    sections = [
        card_text.HEADER.format(command=_command(results)),
        card_text.USE,
        card_text.TRAINING,
        card_text.WORDS + _words(results.tasks),
        card_text.MEASURED
        + _measured(results)
        + f"\n![The same figures as bars]({path.stem}.png)\n",
        card_text.CONTROLS + _controls(results.tasks),
        _section(card_text.COMPARED, _compared(results)),
        card_text.DETAILS + _details(results.tasks),
        card_text.LICENCES + _sources(data_sources),
        card_text.LIMITS,
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(section for section in sections if section), encoding="utf-8")


def _command(results: Results) -> str:
    """The command that gives these figures and this card."""
    compare = f" --compare {results.compared_with}" if results.compared_with else ""
    limit = f" --limit {results.settings['limit']}" if results.settings.get("limit") else ""
    return f".venv/bin/anymal eval {results.bundle}{compare}{limit} --card docs/model-card.md"


def _measured(results: Results) -> str:
    """The main table, and what is missing from it."""
    rows = [
        [
            row.name,
            row.note,
            str(row.score.n),
            f"**{percent(row.score.accuracy)}**",
            interval(row.score),
            _target(row),
            whole(row.reference),
            percent(row.chance),
        ]
        for row in results.tasks
    ]
    head = ["task", "what", "n", "right, %", "95% interval", "target", "reference", "chance, %"]
    missing = "".join(f"\nNot measured: {name} ({why}).\n" for name, why in results.skipped.items())
    return _table(head, rows) + missing


def _controls(tasks: Sequence[TaskResult]) -> str:
    """How the answers fall without the right medium."""
    head = [
        *("task", "true media, %", "blank, %", "swapped, %", "wrong medium, %"),
        *("guessing, %", "follows, %"),
    ]
    rows = [
        [
            row.name,
            percent(row.score.accuracy),
            _control(row, "blank"),
            _control(row, "swapped"),
            _control(row, "wrong_medium"),
            percent(row.baseline),
            percent(row.follows_donor.accuracy) if row.follows_donor else "-",
        ]
        for row in tasks
    ]
    return _table(head, rows) + "\n\\* better than guessing, beyond the 95% interval.\n"


def _compared(results: Results) -> str:
    """The figures of the other bundle beside these; empty where none was compared."""
    rows = [
        [row.name, percent(row.compared.score.accuracy), percent(row.score.accuracy), gain(row)]
        for row in results.tasks
        if row.compared is not None
    ]
    head = ["task", "after align, %", "after instruct, %", "gain, points (95% interval)"]
    return _table(head, rows) if rows else ""


def _words(tasks: Sequence[TaskResult]) -> str:
    """The words that the answers of each task name."""
    return _table(["task", "words"], [[row.name, ", ".join(row.words)] for row in tasks])


def _details(tasks: Sequence[TaskResult]) -> str:
    """The breakdown of every task that has one, and an example of its answers."""
    rows = [
        [
            row.name,
            row.example.replace("\n", " ").replace("|", "/"),
            ", ".join(f"{name} {percent(part.accuracy)}" for name, part in row.breakdown.items()),
        ]
        for row in tasks
    ]
    return _table(["task", "first question -> answer", "right, % of each"], rows)


def _sources(data_sources: Sequence[Mapping[str, Any]]) -> str:
    """Every source that the bundle records, once; empty where it records none."""
    stages: dict[tuple[str, str], list[str]] = {}
    for source in data_sources:
        key = (str(source.get("origin", "-")), str(source.get("licence", "-")))
        stages.setdefault(key, []).append(str(source.get("stage", "-")))
    rows = [
        [f"`{origin}`", licence, ", ".join(dict.fromkeys(names))]
        for (origin, licence), names in stages.items()
    ]
    title = "\nAs the bundle records them for `align` and `instruct`:\n"
    return title + _table(["source", "licence", "stages"], rows) if rows else ""


def _target(row: TaskResult) -> str:
    """The target and whether it is met."""
    if row.target is None:
        return "-"
    return f"{row.target:g} ({'met' if row.is_target_met else 'missed'})"


def _control(row: TaskResult, name: str) -> str:
    """A control's accuracy, starred where it is better than guessing."""
    if name not in row.controls or row.controls[name].n == 0:
        return "-"
    star = "" if row.relies_on_media(name) else " \\*"
    return percent(row.controls[name].accuracy) + star


def _section(text: str, body: str) -> str:
    """A section that is left out where it has no body."""
    return text + body if body else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, set off by an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
