"""What a recipe says of a stage that learns from rewards of the model's own answers.

Does not compute anything (see `anymal.objectives.policy_gradient` and `train.reinforce`).
"""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from anymal.objectives.readouts import VALUE
from anymal.recipe.section import Positive, Section

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe, StageRecipe


class RewardSource(Section):
    """What says how good an answer is."""

    bundle: str | None = Field(None, description="a bundle that reads a reward; or give function")
    function: str | None = Field(
        None, description="package.module:function, called as TRL calls reward functions"
    )
    weight: float = Field(1.0, description="times what it says")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.bundle is None) == (self.function is None):
            raise ValueError("give exactly one of bundle and function")
        return self


class ValueRecipe(Section):
    """How the read-out `value` learns how good an answer is going to be (PPO)."""

    gamma: float = Field(1.0, gt=0, le=1, description="how much the next token's reward counts")
    lam: float = Field(1.0, ge=0, le=1, description="how far advantages look ahead; 1: to the end")
    clip: float = Field(0.2, gt=0, description="how far a value may go in one rollout's updates")
    weight: float = Field(0.1, ge=0, description="weight of its loss")
    from_reward: bool = Field(
        False, description="begin with the read-out of the first reward's bundle"
    )


class ReinforceRecipe(Section):
    """Learns from rewards; see docs/recipes.md, Reward and reinforcement."""

    kind: Literal["ppo", "rloo"] = Field(description="ppo or rloo")
    rewards: list[RewardSource] = Field(min_length=1, description="their weighted sum is learnt")
    samples: Positive = Field(4, description="answers to each prompt")
    max_new_tokens: Positive = Field(256, description="most tokens of an answer")
    temperature: float = Field(1.0, gt=0, le=2, description="of the answers")
    batches: Positive = Field(1, description="optimiser steps that a rollout has answers for")
    passes: Positive = Field(1, description="how often each rollout is learnt from")
    beta: float = Field(0.1, ge=0, description="penalty of a token that became likelier, per nat")
    clip: float = Field(0.2, gt=0, lt=1, description="how far probabilities may go in one rollout")
    scale: float = Field(1.0, gt=0, description="times the weighted sum of rewards")
    no_end: float = Field(0.0, ge=0, description="taken off an answer that is cut")
    long: float = Field(
        0.0, ge=0, description="taken off an answer of max_new_tokens, in proportion"
    )
    value: ValueRecipe | None = Field(None, description="of ppo: how values are learnt")

    @model_validator(mode="before")
    @classmethod
    def _ppo_learns_values(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("kind") == "ppo" and value.get("value") is None:
            return {**value, "value": {}}
        return value

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        if self.kind == "rloo" and self.value is not None:
            raise ValueError("kind: rloo learns no values; leave value out, or take kind: ppo")
        if self.kind == "rloo" and self.samples < 2:
            raise ValueError(
                "kind: rloo compares the answers to a prompt with each other; set samples to 2 or "
                "more"
            )
        if self.value is not None and self.value.from_reward and self.rewards[0].bundle is None:
            raise ValueError("value.from_reward: the first of rewards is no bundle")
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps of one rollout."""
        return self.batches * self.passes


def check_reinforce(stage: "StageRecipe", model: "ModelRecipe") -> None:
    """Refuse keys that a stage which learns from rewards cannot have.

    Raises:
        ValueError: It has one; the message names the key to change.
    """
    own = stage.objective
    assert isinstance(own, ReinforceRecipe), own
    answers = stage.batch_size * stage.accumulate * own.batches
    problem = None
    if own.kind == "ppo" and VALUE not in (model.readouts or {}):
        problem = "ppo reads values; set model.readouts.value ({} is enough)"
    elif stage.heldout is not None:
        problem = "it measures rewards, and nothing on held-out records; set heldout: null"
    elif stage.modality_dropout:
        problem = "it asks with all media; set modality_dropout: 0"
    elif answers % own.samples:
        problem = (
            f"a rollout has {answers} answers (batch_size x accumulate x batches), which is no "
            f"multiple of samples ({own.samples})"
        )
    elif stage.save_every % own.steps:
        problem = (
            f"checkpoints are saved between rollouts, each of {own.steps} steps (batches x "
            f"passes); set save_every to a multiple of that, it is {stage.save_every}"
        )
    if problem is not None:
        raise ValueError(f"stage {stage.name!r} has objective.kind: {own.kind}: {problem}")
