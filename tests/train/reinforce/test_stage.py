"""Stages that learn from rewards: that it rises, what depends on what, and exact resuming."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from anymal.errors import RecipeError
from anymal.recipe.reinforce import ReinforceRecipe
from tests.train.preferring import pair, steps_of, train, weights_of
from tests.train.reinforce import graders
from train import stage
from train.errors import TrainingError
from train.reinforce.rewards import BundleGrade

LETTERS = "rewards: [{function: tests.train.reinforce.graders:letters}]"
RLOO = f"{{kind: rloo, {LETTERS}, samples: 4, max_new_tokens: 6, beta: 0.02}}"
PPO = f"{{kind: ppo, {LETTERS}, samples: 1, max_new_tokens: 6, beta: 0.02, passes: 2, batches: 2}}"


# A rollout for each step, as RLOO has it.
EVERY_STEP = PPO.replace("passes: 2, batches: 2", "passes: 1, batches: 1")


def question(number: int, facts: str = "It is square.") -> dict[str, Any]:
    row = pair(number, chosen=None, rejected=None)
    return row | {"id": f"q{number}", "meta": {"facts": facts, "hard": number}}


@pytest.fixture(scope="module")
def questions(workshop: Path) -> Path:
    path = workshop / "squares" / "questions.jsonl"
    path.write_text("\n".join(json.dumps(question(number)) for number in range(6)) + "\n")
    return path


@pytest.fixture
def policy_of(recipe_of: Callable[..., Any], questions: Path) -> Callable[..., Any]:
    def make(run_dir: Path, *overrides: str, objective: str = RLOO) -> Any:
        given = [
            f"stages.instruct.data=[{{manifest: {questions}}}]",
            "model.readouts={value: {}}",
            "stages.instruct.batch_size=4",
            "stages.instruct.lr=0.01",
            "stages.instruct.lora_lr=0.01",
            "stages.instruct.save_every=4",
            *overrides,
        ]
        return recipe_of(run_dir, *given, objective=objective)

    return make


def means(run_dir: Path, name: str = "rewards/mean") -> list[float]:
    return [step.measures[name] for step in steps_of(run_dir) if step.measures is not None]


@pytest.mark.slow
@pytest.mark.parametrize("objective", [RLOO, EVERY_STEP], ids=["rloo", "ppo"])
def test_the_mean_reward_rises(
    policy_of: Callable[..., Any], tmp_path: Path, objective: str
) -> None:
    sizes = ("stages.instruct.steps=60", "stages.instruct.batch_size=16")
    train(policy_of(tmp_path, *sizes, objective=objective))
    rewards = means(tmp_path)
    assert len(rewards) == 60
    assert sum(rewards[-5:]) > sum(rewards[:5]) + 5 * 0.1
    # What is gained is at most 1, and worth more than the penalty of a policy that keeps it.
    assert all(0 <= each < 1 / 0.02 for each in means(tmp_path, "rewards/kl")[4:])


@pytest.mark.parametrize("objective", [RLOO, PPO], ids=["rloo", "ppo"])
def test_a_rollout_begins_with_the_policy_that_said_it(
    policy_of: Callable[..., Any], tmp_path: Path, objective: str
) -> None:
    train(policy_of(tmp_path, "stages.instruct.steps=4", objective=objective))
    first = steps_of(tmp_path)[0].measures
    assert first is not None
    assert first["policy/kl"] == pytest.approx(0, abs=1e-9)
    assert first["policy/clipped"] == 0
    assert first["rewards/kl"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("objective", [RLOO, PPO], ids=["rloo", "ppo"])
def test_a_run_that_was_killed_between_rollouts_ends_the_same(
    policy_of: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
) -> None:
    steps = "stages.instruct.steps=8"
    train(policy_of(tmp_path / "whole", steps, objective=objective))
    real, taken = stage.optimise, []

    def killed(*args: Any, **kwargs: Any) -> Any:
        taken.append(1)
        if len(taken) == 6:
            raise MemoryError("killed")
        return real(*args, **kwargs)

    monkeypatch.setattr(stage, "optimise", killed)
    with pytest.raises(MemoryError):
        train(policy_of(tmp_path / "cut", steps, objective=objective))
    monkeypatch.setattr(stage, "optimise", real)
    train(policy_of(tmp_path / "cut", steps, objective=objective), resume=True)
    ours, theirs = (weights_of(tmp_path / name) for name in ("whole", "cut"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert means(tmp_path / "whole") == means(tmp_path / "cut")


def test_a_function_is_called_as_trl_calls_it(
    policy_of: Callable[..., Any], tmp_path: Path
) -> None:
    graders.CALLS.clear()
    train(policy_of(tmp_path, "stages.instruct.steps=1"))
    (call,) = graders.CALLS
    assert set(call) == {"prompts", "completions", "id", "facts", "hard"}
    assert {len(column) for column in call.values()} == {4}
    assert len(set(call["id"])) == 1  # four answers to one prompt
    assert call["prompts"][0][-1]["role"] == "user"
    assert len({said[0]["content"] for said in call["completions"]}) > 1


def test_facts_reach_the_reward_model_alone(
    recipe_of: Callable[..., Any], policy_of: Callable[..., Any], workshop: Path, tmp_path: Path
) -> None:
    rows = [json.dumps(pair(n, meta={"facts": "It is square."})) for n in range(6)]
    pairs = workshop / "squares" / "facts.jsonl"
    pairs.write_text("\n".join(rows) + "\n")
    asks = "model.readouts={reward: {ask: 'Is it good? {facts}'}}"
    data = f"stages.instruct.data=[{{manifest: {pairs}}}]"
    train(recipe_of(tmp_path / "reward", asks, data, objective="{kind: reward}"))
    bundle = tmp_path / "reward" / "bundle"
    learn = f"{{kind: ppo, rewards: [{{bundle: {bundle}}}], samples: 1, max_new_tokens: 6, "
    learn += "value: {from_reward: true}}"
    found = [
        rollout_with(
            facts,
            workshop,
            lambda data, name=name: policy_of(
                tmp_path / name, data, "stages.instruct.steps=1", objective=learn
            ),
            tmp_path / name,
        )
        for name, facts in (("one", "It is square."), ("other", "It is round, and a lie."))
    ]
    (ids, shown, reward), (other_ids, other_shown, other_reward) = found
    assert all(torch.equal(a, b) for a, b in zip(ids, other_ids, strict=True))
    assert not any(a.tolist() == b.tolist() for a, b in zip(shown, other_shown, strict=True))
    assert reward != other_reward


def rollout_with(
    facts: str, workshop: Path, recipe: Callable[[str], Any], run_dir: Path
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[float]]:
    """Ids that the policy reads, ids that the reward model reads, and the mean reward."""
    path = workshop / "squares" / "asked.jsonl"
    path.write_text("\n".join(json.dumps(question(n, facts)) for n in range(6)) + "\n")
    seen: list[torch.Tensor] = []
    graded: list[torch.Tensor] = []
    real = BundleGrade.__call__

    def watch(self: BundleGrade, answers: Any) -> list[float]:
        seen.extend(answer.prompted.sample.ids for answer in answers)
        graded.extend(self.sample(answer).ids for answer in answers)
        return real(self, answers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BundleGrade, "__call__", watch)
        train(recipe(f"stages.instruct.data=[{{manifest: {path}}}]"))
    return seen, graded, means(run_dir)


def test_a_function_that_gives_no_numbers_is_refused(
    policy_of: Callable[..., Any], tmp_path: Path
) -> None:
    objective = RLOO.replace("letters", "nothing")
    with pytest.raises(TrainingError, match="a finite number for each"):
        train(policy_of(tmp_path, objective=objective))


@pytest.mark.parametrize(
    ("overrides", "objective", "message"),
    [
        ((), RLOO.replace("samples: 4", "samples: 1"), "set samples to 2 or more"),
        ((), RLOO.replace("samples: 4", "samples: 3"), "no multiple of samples"),
        (("model.readouts={reward: {}}",), PPO, "set model.readouts.value"),
        (("stages.instruct.save_every=3",), PPO, "saved between rollouts"),
        ((), RLOO.replace("function", "functoin"), "unknown key 'functoin'"),
        ((), RLOO.replace("kind: rloo", "kind: rloo, value: {}"), "learns no values"),
    ],
)
def test_what_does_not_go_together_is_refused(
    policy_of: Callable[..., Any],
    tmp_path: Path,
    overrides: tuple[str, ...],
    objective: str,
    message: str,
) -> None:
    with pytest.raises(RecipeError, match=message):
        policy_of(tmp_path, *overrides, objective=objective)


def test_ppo_learns_values_by_default() -> None:
    own = ReinforceRecipe.model_validate({"kind": "ppo", "rewards": [{"bundle": "here"}]})
    assert own.value is not None
    assert (own.value.gamma, own.value.lam, own.value.clip, own.value.weight) == (1, 1, 0.2, 0.1)


def test_a_dry_run_needs_no_reward(policy_of: Callable[..., Any], tmp_path: Path) -> None:
    from train.dry_run.run import dry_run

    objective = PPO.replace("function: tests.train.reinforce.graders:letters", "bundle: nowhere")
    shown = io.StringIO()
    dry_run(policy_of(tmp_path / "run", objective=objective), console=Console(file=shown))
    assert "dry run passed" in shown.getvalue()
