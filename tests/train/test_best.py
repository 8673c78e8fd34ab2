from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from anymal.recipe.schema import StageRecipe
from train.best import Best, best_after, is_over, kept_step
from train.metrics import StepMetrics

DATA = [{"manifest": "a.jsonl"}]


def stage(**changes: Any) -> StageRecipe:
    values = {"name": "a", "kind": "align", "data": DATA, "heldout": DATA, "steps": 9}
    return StageRecipe.model_validate(values | {"batch_size": 1, "lr": 0.1} | changes)


def steps(losses: Mapping[int, float], num: int = 9) -> list[StepMetrics]:
    """Steps, some of which were measured."""
    one = StepMetrics(
        **{"stage": "a", "step": 1, "loss": 1.0, "lr": 0.1, "tokens": 1, "targets": 1},
        **{"tokens_per_s": 1.0, "grad_norm": 1.0, "memory": 1},
    )
    return [replace(one, step=n, heldout_loss=losses.get(n)) for n in range(1, num + 1)]


def after(metrics: list[StepMetrics], stage: StageRecipe) -> Best | None:
    best = None
    for each in metrics:
        if is_over(best, stage):
            break
        best = best_after(best, each, stage, lambda now=each: {"w": torch.tensor(now.step)})
    return best


def test_the_first_of_equals_is_the_best_and_its_weights_are_copied() -> None:
    best = after(steps({2: 3.0, 4: 1.0, 6: 1.0, 8: 2.0}), stage(keep="best"))
    assert best is not None
    assert (best.step, best.value, best.misses) == (4, 1.0, 2)
    assert int(best.weights["w"]) == 4
    weight = torch.zeros(2)
    kept = best_after(None, steps({1: 1.0})[0], stage(keep="best"), lambda: {"w": weight})
    weight += 1
    assert kept is not None
    assert kept.weights["w"].tolist() == [0, 0]


def test_patience_counts_measurements_not_steps() -> None:
    losses = {2: 3.0, 4: 1.0, 6: 1.5, 8: 1.2, 9: 0.5}
    best = after(steps(losses), stage(patience=2))
    assert best is not None
    assert (best.step, best.misses, best.weights) == (4, 2, {})
    assert after(steps(losses), stage(patience=3)) == Best(step=9, value=0.5)


def test_of_accuracies_the_highest_is_the_best() -> None:
    judged = stage(keep="best", best_by="accuracy", ask_every=2)
    asked = [
        replace(each, accuracy={1: 0.5, 3: 0.75, 5: 0.25}.get(each.step))
        for each in steps({1: 3.0, 3: 2.0, 5: 1.0}, 5)
    ]
    best = after(asked, judged)
    assert best is not None
    assert (best.step, best.value) == (3, 0.75)


def test_a_finished_stage_tells_its_kept_step_again() -> None:
    measured = steps({2: 3.0, 4: 1.0, 6: 1.5})
    best, last = kept_step(measured, stage(keep="best")), kept_step(measured, stage())
    assert best is not None
    assert last is not None
    assert (best.step, last.step) == (4, 9)
    assert kept_step([], stage(keep="best")) is None
