"""A plan and its cost: a picture and sentences in the terminal, or one JSON object.

Does not plan.
"""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from anymal.plan.cost import Cost, describe_cost
from anymal.plan.run import Plan, StagePlan

_GB = 1e9
_WIDTH = 60
_COLOURS = ("blue", "cyan", "green", "yellow", "magenta", "red", "white")


def show_plan(plan: Plan, cost: Cost, console: Console) -> None:
    """Draw a bar for each stage, to the scale of the device's memory; then print the cost."""
    for stage in plan.stages:
        console.print(_picture(stage, plan.device.memory))
    for line in describe_cost(cost):
        console.print(line)


def plan_values(plan: Plan, cost: Cost) -> dict[str, Any]:
    """A plan and its cost as plain values; those of the tightest stage are at the top."""
    tightest = plan.tightest
    stages = {
        stage.name: {
            "fits": stage.fits,
            **_values(stage),
            "samples": costs.samples,
            "tokens": costs.tokens,
            "hours": _rounded(costs.hours),
        }
        for stage, costs in zip(plan.stages, cost.stages, strict=True)
    }
    return {
        "fits": plan.fits,
        "device": plan.device.type,
        "memory_bytes": plan.device.memory,
        "weights_gb": round(tightest.parts["llm"] / _GB, 3),
        "stage": tightest.name,
        **_values(tightest),
        "stages": stages,
        "disk_bytes": {
            "downloads": cost.downloads,
            "training_checkpoints": cost.training_states,
            "bundles": cost.bundles,
        },
        "hours": _rounded(cost.hours),
        "hours_are": "computed, not measured",
    }


def _rounded(hours: dict[str, float]) -> dict[str, float]:
    return {gpu: round(number, 2) for gpu, number in hours.items()}


def _values(stage: StagePlan) -> dict[str, Any]:
    return {
        "micro_batch_samples": stage.most_samples,
        "micro_batch_tokens": stage.most_tokens,
        "sample_tokens": stage.sample_tokens,
        "soft_tokens": stage.soft_tokens,
        "facts_tokens": stage.facts_tokens,
        "text_tokens": stage.text_tokens,
        "planned_samples": stage.num_samples,
        "planned_bytes": stage.total,
        "parts": stage.parts,
    }


def _picture(stage: StagePlan, memory: int) -> RenderableType:
    """Title, bar and legend of one stage."""
    verdict = "fits" if stage.fits else "DOES NOT FIT"
    facts = f"{stage.facts_tokens} facts + " if stage.facts_tokens else ""
    title = Text.assemble(
        (stage.name, "bold"),
        f": {stage.total / _GB:.1f} of {memory / _GB:.1f} GB with {stage.num_samples} samples of "
        f"{stage.sample_tokens} tokens ({'up to ' * stage.varies}{stage.soft_tokens} soft + "
        f"{facts}{stage.text_tokens} text) in one pass: ",
        (verdict, "bold green" if stage.fits else "bold red"),
    )
    room = Text(f"at most {stage.most_samples} samples, {stage.most_tokens} tokens, in one pass\n")
    if stage.sample_tokens < stage.soft_tokens + stage.facts_tokens + stage.text_tokens:
        room.append(
            f"llm.max_tokens is {stage.sample_tokens}: a sample with the longest media is refused\n"
        )
    return Group(title, _bar(stage, memory), _legend(stage), room)


def _bar(stage: StagePlan, memory: int) -> Text:
    """One line; what does not fit continues behind the end mark."""
    bar, before = Text("["), 0
    for (_, size), colour in zip(stage.parts.items(), _colours(stage), strict=True):
        columns = round(_WIDTH * (before + size) / memory) - round(_WIDTH * before / memory)
        bar.append("#" * min(columns, 2 * _WIDTH), style=colour)
        before += size
    bar.append("." * (_WIDTH - len(bar) + 1))
    marked = bar[: _WIDTH + 1] + Text("]")
    return marked + bar[_WIDTH + 1 :]


def _legend(stage: StagePlan) -> Table:
    """The parts with their colours and sizes."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for (name, size), colour in zip(stage.parts.items(), _colours(stage), strict=True):
        if size:
            table.add_row(Text.assemble(("##", colour), f" {name}"), f"{size / _GB:.2f} GB")
    return table


def _colours(stage: StagePlan) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(len(stage.parts))]
