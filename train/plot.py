"""The loss curve of a run as one PNG: a panel per stage, held-out loss as points.

Does not touch matplotlib's global state, so it may be called from any program.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anymal.durable import write_file
from train.metrics import StepMetrics

# The smooth line averages over about this share of the steps of its panel.
SMOOTH_SHARE = 0.05


def plot_losses(metrics: Sequence[StepMetrics], path: Path) -> None:
    """Draw the losses of a run.

    Args:
        metrics: Steps in order; stages differ by name.
        path: PNG to write.
    """
    stages = list(dict.fromkeys(step.stage for step in metrics))
    figure = Figure(figsize=(5.0 * max(1, len(stages)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, max(1, len(stages)), squeeze=False)[0]
    for stage, panel in zip(stages, panels, strict=False):
        _draw_stage(panel, [step for step in metrics if step.stage == stage])
        panel.set_title(stage)
    panels[0].set_ylabel("loss (nats per token)")
    with write_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _draw_stage(panel: Axes, metrics: Sequence[StepMetrics]) -> None:
    """Draw one stage: a faint line of all steps, their running mean, and held-out points."""
    steps = [step.step for step in metrics]
    losses = [step.loss for step in metrics]
    panel.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8)
    panel.plot(steps, _smooth(losses), color="tab:blue", linewidth=1.6, label="training")
    heldout = [(step.step, step.heldout_loss) for step in metrics if step.heldout_loss is not None]
    if heldout:
        panel.plot(*zip(*heldout, strict=True), "o-", color="tab:orange", label="held out")
    panel.set_xlabel("step")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)


def _smooth(losses: Sequence[float]) -> list[float]:
    """The exponential running mean, corrected for its start."""
    keep = 1 - 1 / max(1.0, SMOOTH_SHARE * len(losses))
    total, weight, smooth = 0.0, 0.0, []
    for loss in losses:
        total = keep * total + (1 - keep) * loss
        weight = keep * weight + (1 - keep)
        smooth.append(total / weight)
    return smooth
