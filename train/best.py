"""The best measurement of a stage so far, and the weights that gave it.

Does not measure (see `train.measure`), and does not save: a checkpoint holds what is here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from anymal.recipe.schema import StageRecipe
from train.metrics import StepMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best measurement.

    Attributes:
        step: After which it was taken.
        value: What was measured.
        misses: Measurements since, none of them better.
        weights: Aligners and LoRA at that step, on the CPU; empty where the stage keeps its last.
    """

    step: int
    value: float
    misses: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict)


def best_after(
    best: Best | None,
    metrics: StepMetrics,
    stage: StageRecipe,
    weights: Callable[[], Mapping[str, Tensor]],
) -> Best | None:
    """The best measurement after one more step; of equal ones, the first.

    Args:
        best: The one before, if there is any.
        metrics: Of the step.
        stage: Says what is compared.
        weights: Gives the model's weights; they are copied.

    Returns:
        The same, where nothing was measured that the stage compares.
    """
    value: float | None = getattr(metrics, stage.best_by)
    if value is None:
        return best
    is_lower_better = stage.best_by == "heldout_loss"
    if best is not None and (value >= best.value if is_lower_better else value <= best.value):
        return replace(best, misses=best.misses + 1)
    kept = weights() if stage.keep == "best" else {}
    copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in kept.items()}
    return Best(step=metrics.step, value=value, weights=copies)


def is_over(best: Best | None, stage: StageRecipe) -> bool:
    """Whether a stage ends because its patience has."""
    return stage.patience is not None and best is not None and best.misses >= stage.patience


def kept_step(steps: Sequence[StepMetrics], stage: StageRecipe) -> StepMetrics | None:
    """The step whose weights a finished stage ends with; None without any step.

    Args:
        steps: All of the stage, in order.
        stage: Which it keeps.
    """
    best: Best | None = None
    for metrics in steps:
        best = best_after(best, metrics, stage, dict)
    if stage.keep == "last" or best is None:
        return steps[-1] if steps else None
    return next(metrics for metrics in steps if metrics.step == best.step)
