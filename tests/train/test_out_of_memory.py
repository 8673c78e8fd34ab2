from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from anymal.collate import Batch
from anymal.sample import Sample
from train.data.layout import Layout, MicroBatch
from train.errors import TrainingError
from train.loop import held_out, optimise
from train.out_of_memory import Halving

LAYOUT = Layout(pad_id=0)
WIDTH = 3


def samples(number: int) -> list[Sample]:
    """Of different lengths, each named by its number."""
    made = []
    for i in range(number):
        ids = torch.arange(1, 4 + i % 3)
        made.append(Sample(ids=ids, labels=ids, slots=(), media={}, name=f"s{i}"))
    return made


class Loss:
    """As `anymal.llm.cross_entropy.Loss`."""

    def __init__(self, per_sample: Tensor, count: int) -> None:
        self.total, self.per_sample, self.count = per_sample.sum(), per_sample, count
        self.measures: dict[str, Tensor] = {}


class Hungry(nn.Module):
    """Two weights that fit ids; its memory holds so many samples, forward or half way back."""

    def __init__(
        self, *, holds: int, fails_in: str = "forward", error: RuntimeError | None = None
    ) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor(0.3))
        self.second = nn.Parameter(torch.tensor(-0.2))
        self.holds, self.fails_in = holds, fails_in
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.seen: list[int] = []

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def loss(self, batch: Batch) -> Loss:
        self.seen.append(len(batch.names))
        is_too_much = len(batch.names) > self.holds
        if is_too_much and self.fails_in == "forward":
            raise self.error
        early = self.first * 1.0
        if is_too_much:
            early.register_hook(self._run_out)  # by then the second weight has its gradient
        guess = early + self.second * 2.0
        errors = (guess - batch.target_ids) ** 2
        per_sample = errors.new_zeros(len(batch.names))
        return Loss(per_sample.index_add(0, batch.target_samples, errors), len(errors))

    @staticmethod
    def _run_out(gradient: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")


def step(model: Hungry, sizes: list[int], halving: Halving) -> tuple[object, list[float]]:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    queue = samples(sum(sizes))
    micro_batches = [MicroBatch.of([queue.pop(0) for _ in range(size)], LAYOUT) for size in sizes]
    result = optimise(model, optimiser, micro_batches, clip_norm=None, apply=halving.map)  # type: ignore[arg-type]
    return result, [model.first.item(), model.second.item()]


def halving(size: int, say: Callable[[str], None] = lambda text: None) -> Halving:
    return Halving(size, key="stages.align.micro_batch", say=say)


@pytest.mark.parametrize("fails_in", ["forward", "backward"])
@pytest.mark.parametrize(("holds", "seen"), [(1, [4, 2, 1, 1, 1, 1, 1, 1]), (3, [4, 2, 2, 2])])
def test_running_out_of_memory_changes_no_gradient(
    fails_in: str, holds: int, seen: list[int]
) -> None:
    said: list[str] = []
    own = halving(4, said.append)
    model = Hungry(holds=holds, fails_in=fails_in)
    result, weights = step(model, [4, 2], own)
    wanted, wanted_weights = step(Hungry(holds=9), [4, 2], halving(4))
    assert weights == pytest.approx(wanted_weights, rel=1e-5)
    assert vars_of(result) == pytest.approx(vars_of(wanted), rel=1e-5)
    assert model.seen == seen
    assert len(said) == (2 if holds == 1 else 1)
    assert said[0].startswith("memory ran out on 4 samples; stages.align.micro_batch is 2 for")


def vars_of(result: object) -> list[float]:
    return [getattr(result, name) for name in ("loss", "targets", "tokens", "grad_norm")]


def test_memory_of_cublas_counts_and_other_errors_do_not() -> None:
    wanted = step(Hungry(holds=9), [4], halving(4))[1]
    error = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
    assert step(Hungry(holds=2, error=error), [4], halving(4))[1] == pytest.approx(wanted)
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        step(Hungry(holds=2, error=error), [4], halving(4))


def test_the_smaller_size_is_kept_and_said_once() -> None:
    said: list[str] = []
    own = halving(4, said.append)
    model = Hungry(holds=2)
    step(model, [4, 4], own)
    step(model, [4, 4], own)
    assert own.size == 2
    assert model.seen == [4] + [2] * 8
    assert len(said) == 1


def test_one_sample_that_does_not_fit_is_named() -> None:
    with pytest.raises(TrainingError, match=r"runs out on s0 alone \(3 positions\).*checkpointing"):
        step(Hungry(holds=0), [4], halving(4))


def test_heldout_losses_are_halved_too() -> None:
    micro_batches = [MicroBatch.of(samples(5), LAYOUT)]
    whole = held_out(Hungry(holds=9), micro_batches, apply=halving(5).map).loss  # type: ignore[arg-type]
    parts = held_out(Hungry(holds=2), micro_batches, apply=halving(5).map).loss  # type: ignore[arg-type]
    assert parts == pytest.approx(whole, rel=1e-5)


def test_cutting_keeps_samples_layout_and_order() -> None:
    layout = Layout(pad_id=7, is_packed=True)
    micro_batch = MicroBatch.of(samples(5), layout)
    parts = list(micro_batch.cut(2))
    assert [part.batch.names for part in parts] == [("s0", "s1"), ("s2", "s3"), ("s4",)]
    assert all(part.batch.is_packed and part.layout is layout for part in parts)
    assert sum(part.batch.num_positions for part in parts) == micro_batch.batch.num_positions
