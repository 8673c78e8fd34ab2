"""What a recipe says of a stage that teaches a reward model.

Does not compute a loss (see `anymal.objectives.reward`).
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from anymal.objectives.readouts import REWARD
from anymal.protocol.grading import Grading
from anymal.recipe.section import Section

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe


class RewardRecipe(Section):
    """Gives each answer of a pair a number; see docs/recipes.md, Reward and reinforcement."""

    kind: Literal["reward"] = Field(description="reward")
    centre: float = Field(1e-3, ge=0, description="weight of what keeps the numbers near 0")


def grading_of(model: "ModelRecipe") -> Grading:
    """How a model's read-out `reward` is shown the answers that it grades.

    Raises:
        ValueError: The model has none.
    """
    readout = (model.readouts or {}).get(REWARD)
    if readout is None:
        raise ValueError("the model reads no reward; set model.readouts.reward ({} is enough)")
    return Grading(ask=readout.ask)
