"""What ranks share, and what is refused before they begin; several at once: test_torchrun.py."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from anymal.errors import DataError, RecipeError
from anymal.recipe.schema import Recipe
from anymal.recipe.section import parse_section
from train.checkpoint import latest_checkpoint
from train.data.feed import micro_batches_per_batch
from train.errors import TrainingError
from train.ranks import check
from train.ranks.check import check_agreement, check_ranks
from train.ranks.group import ALONE, Ranks, joined

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _no_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def recipe(**changes: Any) -> Recipe:
    stage = {"name": "align", "kind": "align", "data": [{"manifest": "a.jsonl"}], "steps": 1}
    stage |= {"batch_size": 6, "lr": 1e-3}
    image = {"encoder": {"kind": "vision", "path": "x"}, "aligner": {"num_tokens": 4}}
    model = {"llm": {"path": "x"}, "modalities": {"image": image}}
    values = {"run_dir": "x", "model": model, "stages": [stage | changes.pop("stage", {})]}
    return parse_section(Recipe, values | changes, where="test")


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_share_a_batch(size: int) -> None:
    all_ranks = [Ranks(rank=rank, size=size) for rank in range(size)]
    shares = [each.own(range(7)) for each in all_ranks]
    assert sorted(i for share in shares for i in share) == list(range(7))
    (stage,) = recipe(stage={"batch_size": 7}).stages
    counts = [micro_batches_per_batch(stage, 2, each) for each in all_ranks]
    assert counts == [-(-len(share) // 2) for share in shares]


def test_one_rank_does_what_it_would_do_alone() -> None:
    weight = nn.Parameter(torch.zeros(2))
    with joined() as ranks, ranks.together():
        assert ranks == ALONE
        assert ranks.is_first
        assert ranks.gather(3) == [3]
        assert ranks.first(lambda: 4) == 4
        ranks.sum_gradients([weight])
    assert weight.grad is None
    with pytest.raises(DataError, match="as it was"), ALONE.together():
        raise DataError("as it was")


def test_variables_that_torchrun_would_set_have_to_be_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"RANK is None.*torchrun --nproc-per-node"), joined():
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(TrainingError, match=r"WORLD_SIZE is 'two'"), joined():
        pass


@pytest.mark.parametrize(
    ("changes", "size", "error"),
    [
        ({}, 7, r"stages\.align\.batch_size is 6, fewer than the 7 ranks"),
        ({"shard": True}, 1, r"shard: true needs several processes; start them by torchrun"),
        ({"shard": True}, 4, r"batch_size is 6; with shard: true .* divisible by 4"),
        (
            {"shard": True, "stage": {"ask_every": 1, "heldout": [{"manifest": "b.jsonl"}]}},
            2,
            r"ask_every: .* set ask_every: null",
        ),
        (
            {"shard": True, "stage": {"objective": {"kind": "preference", "preset": "dpo"}}},
            2,
            r"objective: preference .* set shard: false",
        ),
    ],
)
def test_what_so_many_ranks_cannot_run(changes: dict[str, Any], size: int, error: str) -> None:
    with pytest.raises(RecipeError, match=error):
        check_ranks(recipe(**changes), Ranks(rank=0, size=size, is_sharded=True))


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
def test_only_four_bits_are_sharded(precision: str) -> None:
    whole = recipe()
    llm = whole.model.llm.model_copy(update={"precision": precision})
    model = whole.model.model_copy(update={"llm": llm})
    sharded = whole.model_copy(update={"model": model, "shard": True})
    with pytest.raises(RecipeError, match=rf"precision is {precision}, and shard: true is for nf4"):
        check_ranks(sharded, Ranks(rank=0, size=2, is_sharded=True))


def test_an_old_torch_does_not_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "SHARDS_FROM", "99.1")
    with pytest.raises(TrainingError, match=r"needs torch 99\.1 or later"):
        check_ranks(recipe(shard=True), Ranks(rank=0, size=2, is_sharded=True))


def test_ranks_that_agree_begin(tmp_path: Path) -> None:
    check_ranks(recipe(), Ranks(rank=0, size=6))
    check_ranks(recipe(shard=True), Ranks(rank=0, size=3, is_sharded=True))
    check_agreement(recipe(), [], latest_checkpoint(tmp_path), ALONE)
