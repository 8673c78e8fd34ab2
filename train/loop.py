"""One optimiser step and one held-out measurement: the GPU side of a stage.

Does not read data, save, or decide when to do what (see `train.stage`).

Shapes: B samples per micro-batch, S fused length.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Self, TypeVar

import torch
from torch import Tensor, nn

from anymal.collate import Batch
from anymal.llm.cross_entropy import Loss
from anymal.model import AnyMAL
from train.errors import TrainingError
from train.ranks.group import ALONE, Ranks

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accumulated:
    """The loss of one micro-batch, whose gradients were added to the others' of its step.

    Attributes:
        total: Scalar, the loss summed over target tokens or pairs, without gradient.
        targets: Number of target tokens, or of pairs.
        tokens: Positions that ran, without padding and without a shared prefix.
        names: Of the samples.
        measures: By name, summed over what `targets` counts.
    """

    total: Tensor
    targets: int
    tokens: int
    names: tuple[str, ...]
    measures: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What the micro-batches of one rank, or of all, add up to; as `Accumulated`."""

    total: float
    targets: int
    tokens: int
    measures: Mapping[str, float]

    @classmethod
    def over(cls, passes: Sequence[Accumulated], ranks: Ranks) -> Self:
        """Add up micro-batches, and then ranks."""
        own = cls._of(
            [
                cls(
                    total=each.total.item(),
                    targets=each.targets,
                    tokens=each.tokens,
                    measures={name: float(value) for name, value in each.measures.items()},
                )
                for each in passes
            ]
        )
        return cls._of(ranks.gather(own))

    @classmethod
    def _of(cls, parts: Sequence[Self]) -> Self:
        names = dict.fromkeys(name for part in parts for name in part.measures)
        return cls(
            total=sum(part.total for part in parts),
            targets=sum(part.targets for part in parts),
            tokens=sum(part.tokens for part in parts),
            measures={name: sum(part.measures.get(name, 0.0) for part in parts) for name in names},
        )

    @property
    def loss(self) -> float:
        """The mean over targets."""
        return self.total / self.targets

    @property
    def means(self) -> dict[str, float]:
        """What else the objective reports, likewise."""
        return {name: value / self.targets for name, value in self.measures.items()}


Objective = Callable[[AnyMAL, Batch], Loss]
Apply = Callable[[Callable[[Batch], Accumulated], Iterable[Item]], Iterator[Accumulated]]


def answer_loss(model: AnyMAL, batch: Batch) -> Loss:
    """The objective `answer`: cross-entropy of the answers."""
    return model.loss(batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What was measured in one optimiser step.

    Attributes:
        loss: Mean over the target tokens, or pairs, of all micro-batches, in nats.
        targets: Number of target tokens, or of pairs.
        tokens: Positions that ran, without padding and without a shared prefix.
        grad_norm: Norm of the gradient of `loss`, before clipping.
        measures: What else the objective reports, by name; means as `loss` is.
    """

    loss: float
    targets: int
    tokens: int
    grad_norm: float
    measures: Mapping[str, float] = field(default_factory=dict)


def optimise(
    model: AnyMAL,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[Item],
    *,
    clip_norm: float | None,
    objective: Objective = answer_loss,
    apply: Apply[Item] = map,  # type: ignore[assignment]  # map takes batches as they are
    ranks: Ranks = ALONE,
) -> StepResult:
    """Take one optimiser step over a window of micro-batches.

    Gradients of summed losses are added up and divided once by the window's count of tokens, or of
    pairs, so how the window is cut into micro-batches does not change the step.

    Args:
        model: In training mode.
        optimiser: Over the parameters that train, its learning rate set.
        batches: The window, on any device.
        clip_norm: Largest norm of the gradient; None does not clip.
        objective: The loss to minimise.
        apply: Runs a function on batches, like `map`; `train.out_of_memory.Halving.map` takes
            micro-batches instead.
        ranks: Who takes this step together; each has its own batches.

    Returns:
        What was measured.

    Raises:
        TrainingError: A loss or the gradient is not finite; no parameter was updated.
    """
    optimiser.zero_grad(set_to_none=True)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    with ranks.together():
        passes = list(apply(partial(_learn, model, parameters, objective), batches))
    ranks.sum_gradients(parameters)
    sums = _Sums.over(passes, ranks)
    grad_norm = _scale_and_clip(parameters, sums.targets, clip_norm)
    if not math.isfinite(grad_norm):
        names = [name for each in passes for name in each.names]
        raise TrainingError(
            f"the gradient is not finite (norm {grad_norm}) over the samples {', '.join(names)}; "
            "lower lr, or set clip_norm"
        )
    optimiser.step()
    return StepResult(
        loss=sums.loss,
        targets=sums.targets,
        tokens=sums.tokens,
        grad_norm=grad_norm,
        measures=sums.means,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What was measured on held-out samples.

    Attributes:
        loss: Mean over the target tokens, or pairs, of all batches.
        measures: What else the objective reports, by name; means as `loss` is.
    """

    loss: float
    measures: Mapping[str, float]


@torch.no_grad()
def held_out(
    model: AnyMAL,
    batches: Iterable[Item],
    *,
    objective: Objective = answer_loss,
    apply: Apply[Item] = map,  # type: ignore[assignment]  # as in optimise
    ranks: Ranks = ALONE,
) -> HeldOut:
    """The means over all batches; the model's mode does not change."""
    was_training = model.training
    model.eval()
    with ranks.together():
        passes = list(apply(partial(_learn, model, (), objective), batches))
    model.train(was_training)
    sums = _Sums.over(passes, ranks)
    return HeldOut(loss=sums.loss, measures=sums.means)


def _learn(
    model: AnyMAL, parameters: Sequence[nn.Parameter], objective: Objective, batch: Batch
) -> Accumulated:
    """Run one micro-batch and add its gradients to the parameters', all of them or none."""
    loss = _loss(model, objective, batch)
    if (
        parameters and loss.total.requires_grad
    ):  # false where no sample has media of a trained aligner
        # Not backward(): if it ran out of memory half way, some gradients would be added twice.
        gradients = torch.autograd.grad(loss.total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if parameter.grad is None:
                parameter.grad = gradient
            elif gradient is not None:
                parameter.grad += gradient
    return Accumulated(
        total=loss.total.detach(),
        targets=loss.count,
        tokens=batch.num_run,
        names=batch.names,
        measures=loss.measures,
    )


def _loss(model: AnyMAL, objective: Objective, batch: Batch) -> Loss:
    """Compute the summed loss of one micro-batch; raise if it is not finite."""
    with precision_of(model):
        loss = objective(model, batch.to(model.device))
    if not bool(torch.isfinite(loss.total)):
        finite = torch.isfinite(loss.per_sample).tolist()  # [B]
        names = [name for name, is_finite in zip(batch.names, finite, strict=True) if not is_finite]
        raise TrainingError(
            f"the loss of {', '.join(names or batch.names)} is {loss.total.item()}; look at that "
            "sample, or lower lr if it was finite before. The last checkpoint is intact."
        )
    return loss


def precision_of(model: AnyMAL) -> AbstractContextManager[object]:
    """Autocast to bf16 on CUDA, unless the model is in float32; nothing on a CPU."""
    if model.device.type == "cuda" and model.llm.dtype != torch.float32:
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _scale_and_clip(
    parameters: Sequence[nn.Parameter], targets: int, clip_norm: float | None
) -> float:
    """Turn gradients of the sum into gradients of the mean, clip them, return their norm."""
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    torch._foreach_div_(gradients, float(targets))
    largest = math.inf if clip_norm is None else clip_norm
    return float(nn.utils.clip_grad_norm_(parameters, largest))
