"""The processes that train one run together, and what they tell each other.

torchrun starts them, each with the same command; without it there is one, and nothing here does
anything. What trains is whole on every rank, so a step is: each runs its own records, gradients of
summed losses are added up over ranks, and every rank takes the same step. Does not launch
processes (see docs/scale.md) and does not train.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from anymal.errors import AnymalError
from train.errors import TrainingError
from train.interrupt import Interrupted

Item = TypeVar("Item")

# One rank asks held-out questions, or reads all rows, while the others wait.
_LONGEST_WAIT = timedelta(hours=2)
_SAID = "said"


class SaidElsewhere(TrainingError):
    """A run that ends on this rank because of another, which says why."""


class LostRank(TrainingError):
    """Another rank ended without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes of a run.

    Attributes:
        rank: Which one this is, from 0.
        size: How many there are.
        is_sharded: Whether each holds only a part of the language model, so that all have to run
            as many passes.
    """

    rank: int = 0
    size: int = 1
    is_sharded: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and talks to the user."""
        return self.rank == 0

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """Those of this rank: every `size`-th."""
        return items[self.rank :: self.size]

    def gather(self, value: Item) -> list[Item]:
        """The values of all ranks, in their order."""
        if self.size == 1:
            return [value]
        found: list[Item] = [value] * self.size
        with _others_may_be_gone():
            dist.all_gather_object(found, value)
        return found

    def first(self, make: Callable[[], Item]) -> Item:
        """What the first rank makes, on all of them; so is an error of it."""
        with self.together():
            made = make() if self.is_first else None
        return self.gather(made)[0]  # type: ignore[return-value]  # that of the first rank was made

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do something on all ranks; where it fails on one, all of them end.

        Of a sharded model, the others may be waiting within a pass for what this one would
        compute. They notice that it ended.

        Raises:
            AnymalError: It failed here.
            SaidElsewhere: It failed on another rank.
        """
        if self.size == 1:
            yield
            return
        error: AnymalError | Interrupted | None = None
        try:
            with _others_may_be_gone():
                yield
        except (AnymalError, Interrupted) as own:
            if self.is_sharded or isinstance(own, LostRank | SaidElsewhere):
                raise
            error = own
        failed = self.gather(error is not None)
        if error is not None:
            raise error
        if True in failed:
            raise SaidElsewhere(f"rank {failed.index(True)} of {self.size} could not go on")

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the gradients of all ranks; one that no rank has stays None.

        Args:
            parameters: The same on every rank, in the same order.
        """
        if self.size == 1 or not parameters:
            return
        parts = [
            torch.zeros_like(each, dtype=torch.float32) if each.grad is None else each.grad
            for each in parameters
        ]
        device = parts[0].device
        has_any = torch.tensor([each.grad is not None for each in parameters], device=device)
        flat = torch.cat([*(part.float().reshape(-1) for part in parts), has_any.float()])
        with _others_may_be_gone():
            dist.all_reduce(flat)
        sums = torch.split(flat, [*(each.numel() for each in parameters), len(parameters)])
        for parameter, total, number in zip(parameters, sums, sums[-1].tolist(), strict=False):
            if number:
                parameter.grad = _like(total, parameter)


ALONE = Ranks()


def _like(flat: Tensor, parameter: nn.Parameter) -> Tensor:
    """A gradient in the shape and dtype of its parameter."""
    return flat.view(parameter.shape).to(parameter.dtype)


def num_started() -> int:
    """How many processes torchrun started; 1 without it.

    Raises:
        TrainingError: Its variables are not numbers.
    """
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """Which of the processes of this machine this one is; its GPU has that number."""
    return _number("LOCAL_RANK", 0)


@contextmanager
def joined(*, is_sharded: bool = False) -> Iterator[Ranks]:
    """Find the other ranks, and leave them at the end.

    Where the run ends with an error, the rank that has it first raises it, and others
    `SaidElsewhere`, so that the user reads it once.

    Args:
        is_sharded: See `Ranks`.

    Raises:
        TrainingError: The variables of torchrun are incomplete.
    """
    if num_started() == 1:
        yield Ranks()
        return
    rank = _number("RANK", None)
    store, _, size = next(rendezvous("env://"))
    # A restart would else read the addresses of processes that are gone, and hang.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"attempt/{attempt}", store)  # type: ignore[attr-defined]
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
    dist.init_process_group(
        backend="cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=dist.PrefixStore("group", store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=size,
        timeout=_LONGEST_WAIT,
    )
    try:
        yield Ranks(rank=rank, size=size, is_sharded=is_sharded)
    except SaidElsewhere:
        raise
    except (AnymalError, Interrupted) as error:
        if not _says_it(store):
            raise SaidElsewhere(str(error)) from error
        raise
    finally:
        dist.destroy_process_group()


def _says_it(store: Any) -> bool:
    """Whether this rank is the first to end with an error."""
    try:
        return int(store.add(_SAID, 1)) == 1
    except dist.DistError:  # the store went with the rank that kept it
        return True


@contextmanager
def _others_may_be_gone() -> Iterator[None]:
    """Tell a rank that ended from a mistake in this one.

    Raises:
        LostRank: Another rank ended.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise LostRank(
            "another process of this run ended; its own messages, or the system's log, say why. "
            "The last checkpoint is whole: run the same command with --resume"
        ) from error


def _number(name: str, default: int | None) -> int:
    """A variable of torchrun."""
    value = os.environ.get(name)
    if value is None and default is not None:
        return default
    if value is None or not value.isdigit():
        raise TrainingError(
            f"the variable {name} is {value!r}, but torchrun sets it to a number; start several "
            "processes as torchrun --nproc-per-node N -m anymal train RECIPE"
        )
    return int(value)
