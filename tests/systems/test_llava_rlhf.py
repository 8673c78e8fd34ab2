"""LLaVA-RLHF (C1 of the methods): its two recipes, and its constants through what they say.

Works when: rewards of 1 and 0.5 cost 0.475577, a ratio of e^0.3 with an advantage of 1 costs -1.2,
and what the paper says of rewards comes out of the keys. That facts reach the reward model alone:
`tests/train/reinforce/test_stage.py`.
"""

from pathlib import Path

import pytest
import torch

from anymal.objectives.policy_gradient import (
    Shape,
    clamped_kl,
    clipped_policy_loss,
    clipped_value_loss,
    generalised_advantages,
    with_penalty,
)
from anymal.objectives.reward import reward_loss
from anymal.protocol.conversation import Conversation
from anymal.recipe.objective import ReinforceRecipe, RewardRecipe
from anymal.recipe.reward import grading_of
from anymal.recipe.schema import Recipe, load_recipe

FOLDER = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "llava_rlhf"


def recipe(name: str) -> Recipe:
    return load_recipe(FOLDER / f"{name}.yaml", keep_unset=True)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def ppo() -> ReinforceRecipe:
    own = recipe("ppo").stages[0].objective
    assert isinstance(own, ReinforceRecipe)
    return own


def test_the_loss_of_the_reward_model() -> None:
    own = recipe("reward").stages[0].objective
    assert isinstance(own, RewardRecipe)
    assert float(reward_loss(one(1.0), one(0.5), centre=own.centre)) == pytest.approx(
        0.475577, abs=1e-6
    )


def test_the_losses_of_the_policy_and_of_values() -> None:
    own = ppo()
    assert own.value is not None
    loss = clipped_policy_loss(one(0.3), one(0.0), one(1.0), clip=own.clip)
    assert float(loss) == pytest.approx(-1.2, abs=1e-6)
    far = clipped_value_loss(one(0.5), one(0.0), one(1.0), clip=own.value.clip)
    assert own.value.weight * float(far) == pytest.approx(0.1 * 0.5 * 0.8**2, abs=1e-6)


def test_the_reward_of_an_answer() -> None:
    """A score of 0.5, an answer that is cut at 896 tokens, and one token that became likelier."""
    own = ppo()
    shape = Shape(scale=own.scale, no_end=own.no_end, long=own.long, most=own.max_new_tokens)
    assert shape(0.5, length=896, has_ended=False) == pytest.approx(-13.0, abs=1e-6)
    kl = clamped_kl(one(-1.0), one(-1.5)).repeat(2) * torch.tensor([1.0, 0.0])
    rewards = with_penalty(kl, shape(0.5, length=896, has_ended=False), beta=own.beta)
    assert rewards.tolist() == pytest.approx([-0.05, -13.0], abs=1e-6)
    assert own.value is not None
    _, returns = generalised_advantages(
        rewards, torch.zeros(2), gamma=own.value.gamma, lam=own.value.lam
    )
    assert returns.tolist() == pytest.approx([-13.05, -13.0], abs=1e-6)


def test_a_rollout_is_of_512_answers_for_four_steps() -> None:
    stage, own = recipe("ppo").stages[0], ppo()
    assert stage.batch_size * stage.accumulate * own.batches == 512
    assert own.steps == 4
    assert stage.num_steps % own.steps == 0
    assert stage.num_steps * 256 / own.passes == pytest.approx(4 * 72_000, rel=0.01)


def test_facts_stand_in_the_question_of_the_reward_model() -> None:
    grading = grading_of(recipe("reward").model)
    assert grading.takes_facts
    talk = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A cat."}]
    shown = grading(Conversation.model_validate({"messages": talk}), ["A dog sits."])
    assert "A dog sits." in str(shown.messages[-1].content)
    assert (recipe("ppo").model.readouts or {}).keys() == {"value"}
