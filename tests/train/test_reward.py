"""A stage that teaches a reward model, from pairs in a manifest to a bundle that grades."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from anymal.bundle.load import load_bundle
from anymal.bundle.manifest import READOUTS, read_weights
from anymal.errors import DataError, RecipeError
from anymal.protocol.conversation import read_conversation
from anymal.protocol.grading import Grading
from tests.train.preferring import pair, steps_of, train, weights_of
from train.data.graded import check_graded

REWARD = "{kind: reward}"
ASKS = "model.readouts={reward: {ask: 'Is it good? {facts} Grade:'}}"
PLAIN = "model.readouts={reward: {}}"


def graded(number: int, **changes: Any) -> dict[str, Any]:
    facts = {"facts": [f"The square is number {number}."]}
    return pair(number, **{"meta": facts} | changes)


@pytest.fixture(scope="module")
def facts(workshop: Path) -> Path:
    path = workshop / "squares" / "graded.jsonl"
    path.write_text("\n".join(json.dumps(graded(number)) for number in range(6)) + "\n")
    return path


@pytest.fixture
def reward_of(recipe_of: Callable[..., Any], facts: Path) -> Callable[..., Any]:
    def make(run_dir: Path, *overrides: str, readouts: str = PLAIN) -> Any:
        data = f"stages.instruct.data=[{{manifest: {facts}}}]"
        given = (readouts, "stages.instruct.lr=0.02", data, *overrides)
        return recipe_of(run_dir, *given, objective=REWARD)

    return make


def reward_in(bundle: Path, record: dict[str, Any], answer: str, facts: list[str]) -> float:
    """The reward of one answer of a record by a bundle, and by nothing that trains."""
    from anymal.collate import collate
    from anymal.objectives.reward import rewards_of
    from anymal.recipe.reward import grading_of

    assembled = load_bundle(bundle)
    grading = grading_of(assembled.model_recipe)
    talk = [*record["messages"], {"role": "assistant", "content": record[answer]}]
    shown = grading(read_conversation({"messages": talk}), facts if grading.takes_facts else ())
    sample = assembled.processor(shown, base_dir=Path(record["folder"]), generate=grading.is_asked)
    with torch.no_grad():
        batch = collate([sample], pad_id=assembled.processor.pad_id)
        return float(rewards_of(assembled.model, batch)[0])


@pytest.mark.parametrize("readouts", [PLAIN, ASKS])
def test_what_was_chosen_gets_the_larger_reward(
    reward_of: Callable[..., Any], facts: Path, tmp_path: Path, readouts: str
) -> None:
    train(reward_of(tmp_path, "stages.instruct.steps=12", readouts=readouts))
    steps = steps_of(tmp_path)
    assert steps[0].targets == 2
    assert steps[-1].loss < steps[0].loss
    assert steps[-1].measures is not None
    assert steps[-1].measures["rewards/accuracies"] == 1.0
    record = graded(0) | {"folder": str(facts.parent)}
    known = ["The square is number 0."]
    chosen, rejected = (
        reward_in(tmp_path / "bundle", record, name, known) for name in ("chosen", "rejected")
    )
    assert chosen > rejected


def test_a_bundle_brings_the_read_out_back_bit_by_bit(
    reward_of: Callable[..., Any], tmp_path: Path
) -> None:
    train(reward_of(tmp_path, "stages.instruct.steps=2"))
    saved = read_weights(tmp_path / "bundle" / READOUTS)
    assert set(saved) == {"reward.linear.weight", "reward.linear.bias"}
    loaded = load_bundle(tmp_path / "bundle").model.readouts.state_dict()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


def test_cutting_a_batch_between_pairs_takes_the_same_steps(
    reward_of: Callable[..., Any], tmp_path: Path
) -> None:
    whole = ("stages.instruct.batch_size=3", "stages.instruct.steps=2")
    train(reward_of(tmp_path / "whole", *whole))
    train(reward_of(tmp_path / "cut", *whole, "stages.instruct.micro_batch=1"))
    train(reward_of(tmp_path / "packed", *whole, "stages.instruct.packing=true"))
    ours, *others = (weights_of(tmp_path / name) for name in ("whole", "cut", "packed"))
    for theirs in others:
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-5, atol=1e-6)


def test_facts_stand_where_they_are_asked_for_alone() -> None:
    asked = Grading(ask="{facts} Grade:")
    one, other = (
        check_graded(graded(0, meta={"facts": said}), asked, where="row", base_dir=None)
        for said in ("It is red.", ["It is blue."])
    )
    for name in ("chosen", "rejected"):
        ours, theirs = (each.conversations[name].messages for each in (one, other))
        assert ours[:-1] == theirs[:-1]
        assert ours[-1].content == "It is red. Grade:"
        assert theirs[-1].content == "It is blue. Grade:"


@pytest.mark.parametrize("meta", [None, {}, {"facts": []}, {"facts": [" "]}, {"facts": 3}])
def test_a_record_without_facts_is_refused_where_they_are_read(meta: Any) -> None:
    with pytest.raises(DataError, match=r"row: meta\.facts is"):
        check_graded(graded(0, meta=meta), Grading(ask="{facts}"), where="row", base_dir=None)


def test_a_model_that_reads_no_reward_is_refused(
    reward_of: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"teaches a reward: .*set model\.readouts\.reward"):
        reward_of(tmp_path, readouts="model.readouts={value: {}}")


def test_a_stage_begins_with_the_read_out_of_its_bundle(
    reward_of: Callable[..., Any], tmp_path: Path
) -> None:
    train(reward_of(tmp_path / "one", "stages.instruct.steps=2"))
    start = f"model.start_from={tmp_path / 'one' / 'bundle'}"
    slow = ("stages.instruct.steps=1", "stages.instruct.lr=1e-12", "stages.instruct.lora_lr=1e-12")
    train(reward_of(tmp_path / "two", start, *slow))
    saved, begun = (read_weights(tmp_path / name / "bundle" / READOUTS) for name in ("one", "two"))
    for name, tensor in saved.items():
        torch.testing.assert_close(begun[name], tensor, rtol=0, atol=1e-9)
