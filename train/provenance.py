"""What a bundle says about its training: the stages, and the data they saw.

Holds no paths of the machine it ran on: bundles are given away.
"""

from typing import Any

from train.metrics import read_metrics
from train.stage import Run

# Where data lay and when things were saved matter to the run, not to its bundle.
_LEFT_OUT = {"data", "heldout", "save_every", "eval_every"}


def stage_facts(run: Run, number: int) -> dict[str, Any]:
    """Return the settings of one stage, and its last losses.

    Args:
        run: The run, with metrics up to the end of the stage.
        number: Index of the stage.
    """
    stage = run.recipe.stages[number]
    steps = [step for step in read_metrics(run.folder.metrics) if step.stage == stage.name]
    heldout = [step.heldout_loss for step in steps if step.heldout_loss is not None]
    return {
        **stage.model_dump(mode="json", exclude=_LEFT_OUT),
        "loss": steps[-1].loss if steps else None,  # None where the file was removed
        "heldout_loss": heldout[-1] if heldout else None,
    }


def data_facts(run: Run, number: int) -> list[dict[str, Any]]:
    """Return where the training records of one stage came from, and under which licence."""
    return [
        {
            "stage": run.recipe.stages[number].name,
            "name": source.name,
            "origin": source.origin,
            "records": len(source.records),
            "weight": source.weight,
            "licence": source.licence,
        }
        for source in run.data[number].training
    ]
